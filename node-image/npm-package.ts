// The library and the command as a package that npm installs, plain JavaScript with types:
//   npm run package -- [--output FILE]
// Node strips types from no file below node_modules, so what others install can't be the sources.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { runCommand } from '#infra/local/run-command.ts';
import { bundleApp, NATIVE_ADDONS } from './oci/bundle-app.ts';
import { tarChunks, type TarEntry } from './oci/tar.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const LIBRARY = 'node-image/device/open-storj.ts';
const ENTRIES = { storjfarm: LIBRARY, storj: 'node-image/cli/storj.ts' };
/** The first with zstd; 22, 24 and 26 were tried. */
const OLDEST_NODE = '>=22.15';
const README = 'node-image/device/README.md';
/** What one declaration file says of another: `from '…'` and `import('…')`. */
const REFERENCE = /(\bfrom |\bimport\()'([^']+)'/g;

/** Path in the package → content. */
export async function npmPackage(): Promise<Map<string, Uint8Array>> {
  const [bundles, types] = [await bundleApp({ root: ROOT, entries: ENTRIES }), await declarations()];
  const code = [...bundles].map(([, bytes]) => Buffer.from(bytes).toString());
  const addons = NATIVE_ADDONS.filter((name) => code.some((text) => text.includes(name)));
  const { name, version, description, license, dependencies } = JSON.parse(
    readFileSync(join(ROOT, 'package.json'), 'utf8'),
  ) as Record<'name' | 'version' | 'description' | 'license', string> & { dependencies: Record<string, string> };
  const manifest = {
    name,
    version,
    description,
    license,
    type: 'module',
    engines: { node: OLDEST_NODE },
    bin: { storj: './storj.mjs' },
    exports: { '.': { types: `./${typesOf(LIBRARY)}`, default: './storjfarm.mjs' } },
    dependencies: Object.fromEntries(addons.map((addon) => [addon, dependencies[addon]!])),
  };
  const [packageJson, readme] = [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`), readFileSync(join(ROOT, README))];
  return new Map([...bundles, ...types, ['package.json', packageJson], ['README.md', readme]]);
}

/** Of the library and all that its declarations name, each below types/ where its source lies below the root. */
async function declarations(): Promise<Map<string, Uint8Array>> {
  const folder = mkdtempSync(join(tmpdir(), 'storj-types-'));
  try {
    const compilerOptions = {
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      outDir: join(folder, 'types'),
      rootDir: ROOT,
      typeRoots: [join(ROOT, 'node_modules/@types')],
    };
    const project = { extends: join(ROOT, 'tsconfig.json'), compilerOptions, include: [], files: [join(ROOT, LIBRARY)] };
    const file = join(folder, 'tsconfig.json');
    writeFileSync(file, JSON.stringify(project));
    await runCommand(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', file]);
    return reachable(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function reachable(folder: string): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const left = [typesOf(LIBRARY)];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    if (found.has(path)) continue;
    const from = path;
    const text = readFileSync(join(folder, path), 'utf8').replaceAll(REFERENCE, (all, before: string, specifier: string) => {
      if (specifier.startsWith('node:')) return all;
      const target = declarationOf(from, specifier);
      left.push(target);
      const relative = posix.relative(posix.dirname(from), target).replace(/\.d\.ts$/, '.js');
      return `${before}'${relative.startsWith('.') ? relative : `./${relative}`}'`;
    });
    found.set(path, Buffer.from(text));
  }
  return found;
}

function declarationOf(from: string, specifier: string): string {
  if (specifier.startsWith('#node/')) return typesOf(`node-image/${specifier.slice('#node/'.length)}`);
  if (specifier.startsWith('.')) return posix.join(posix.dirname(from), specifier).replace(/\.ts$/, '.d.ts');
  throw new Error(`The library's types name the package "${specifier}" (${from}): whoever installs it may not have that.`);
}

function typesOf(source: string): string {
  return `types/${source.replace(/\.ts$/, '.d.ts')}`;
}

/** As npm packs it. */
async function archive(files: ReadonlyMap<string, Uint8Array>): Promise<Buffer> {
  const isProgram = (path: string) => path === 'storj.mjs';
  const entries = [...files].map(([path, bytes]): TarEntry => ({
    path: `package/${path}`,
    mode: isProgram(path) ? 0o755 : 0o644,
    content: { bytes },
  }));
  return gzipSync(await Array.fromAsync(tarChunks(entries)).then((chunks) => Buffer.concat(chunks)));
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { output: { type: 'string', default: 'storjfarm.tgz' } } });
  const output = resolve(values.output);
  const bytes = await archive(await npmPackage());
  writeFileSync(output, bytes);
  console.log(`${output}, ${(bytes.length / 2 ** 20).toFixed(1)} MiB: npm install ${output}`);
}
