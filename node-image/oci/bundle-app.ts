// The app as few files: each entry with all its packages in one .mjs, native add-ons beside them in
// node_modules. Worker files, which sources name by `new URL('./x.ts', import.meta.url)`, become
// entries of their own.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';
import type { TarEntry } from './tar.ts';

/** N-API packages; each has a package `NAME-linux-ARCH-gnu` with the binary. */
export const NATIVE_ADDONS = ['@napi-rs/blake-hash', '@node-rs/crc32'];

const WORKER = /new URL\(\s*'(\.{1,2}\/[^']+)\.ts'\s*,\s*import\.meta\.url\s*\)/g;
/** Packages in CommonJS call require() for Node's own modules. */
const BANNER = `import { createRequire as createRequireOfBundle } from 'node:module'; globalThis.require ??= createRequireOfBundle(import.meta.url);`;

/** Loading it does nothing by itself, which it doesn't say: of its hundreds of classes, 9 MB in memory, we use one. */
const PURE = /node_modules\/@kubernetes\/client-node\//;
/** Marks a question of our own. */
const SEEN = Symbol('seen');

export interface BundleOptions {
  /** Folder of package.json. */
  readonly root: string;
  /** Name without .mjs → source file below root. */
  readonly entries: Readonly<Record<string, string>>;
}

/**
 * File name → content, flat: entries, workers, the chunks that they load when they need them, and the
 * licences of what is bundled.
 */
export async function bundleApp({ root, entries }: BundleOptions): Promise<Map<string, Uint8Array>> {
  const known = new Map(Object.entries(entries).map(([name, source]) => [name, resolve(root, source)]));
  for (;;) {
    const before = known.size;
    const result = await build({
      entryPoints: [...known].map(([name, source]) => ({ in: source, out: name })),
      outdir: '/app',
      absWorkingDir: root,
      bundle: true,
      splitting: true, // a role loads its own code only, which is memory
      chunkNames: '[name]-[hash]',
      write: false,
      platform: 'node',
      target: 'node26',
      format: 'esm',
      outExtension: { '.js': '.mjs' },
      banner: { js: BANNER },
      external: NATIVE_ADDONS,
      keepNames: true,
      // V8 keeps the source in memory, at two bytes a character where a comment has one beyond Latin-1.
      minifyWhitespace: true,
      lineLimit: 160,
      legalComments: 'linked',
      logLevel: 'silent',
      plugins: [workerEntries(root, (name, file) => addEntry(known, name, file)), withoutUnusedParts],
    });
    // Workers show up while their users are bundled; then all is bundled again, with them as entries.
    if (known.size === before) return new Map(result.outputFiles.map((file) => [basename(file.path), file.contents]));
  }
}

const withoutUnusedParts: Plugin = {
  name: 'without-unused-parts',
  setup(builder) {
    builder.onResolve({ filter: /^\./ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      if (pluginData === SEEN || !PURE.test(importer)) return undefined;
      const resolved = await builder.resolve(path, { importer, resolveDir, kind, pluginData: SEEN });
      return { ...resolved, sideEffects: false };
    });
  },
};

function addEntry(known: Map<string, string>, name: string, file: string): void {
  const before = known.get(name);
  if (before !== undefined && before !== file) throw new Error(`two bundles would be called ${name}.mjs: ${before} and ${file}`);
  known.set(name, file);
}

function workerEntries(root: string, onWorker: (name: string, file: string) => void): Plugin {
  return {
    name: 'worker-entries',
    setup(builder) {
      builder.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (relative(root, path).startsWith('node_modules')) return undefined;
        const text = readFileSync(path, 'utf8');
        const contents = text.replaceAll(WORKER, (_, reference: string) => {
          const name = basename(reference);
          onWorker(name, `${resolve(dirname(path), reference)}.ts`);
          return `new URL('./${name}.mjs', import.meta.url)`;
        });
        return { contents, loader: 'ts' };
      });
    },
  };
}

/** The native add-ons as they must lie beside the bundles, and the binaries among them (for their libraries). */
export function nativeAddons(root: string, machine: string): { entries: TarEntry[]; binaries: string[] } {
  const entries: TarEntry[] = [];
  for (const name of NATIVE_ADDONS) {
    for (const folder of [name, `${name}-linux-${machine}-gnu`]) {
      const source = join(root, 'node_modules', folder);
      if (!existsSync(source))
        throw new Error(
          `node_modules/${folder} is missing: run npm ci on Linux with glibc (npm leaves other systems' binaries out)`,
        );
      for (const file of readdirSync(source).filter((one) => /(^package\.json|\.js|\.node|^LICENSE.*)$/.test(one))) {
        entries.push({ path: `app/node_modules/${folder}/${file}`, mode: 0o644, content: { file: join(source, file) } });
      }
    }
  }
  const binaries = entries.flatMap(({ path, content }) =>
    path.endsWith('.node') && typeof content === 'object' && 'file' in content ? [content.file] : [],
  );
  return { entries, binaries };
}
