// The product's image, for the operator and for the nodes, built with Node alone:
//   npm run image -- [--output FILE] [--load CLUSTER] [--kind CLUSTER] [--registry HOST/PATH]
// No shell and no package manager inside: a C library, Node, the app. It runs as 65532 and needs to
// write nowhere. Its tag is a hash of its content, so the same sources give the same name.
import { createHash, randomUUID } from 'node:crypto';
import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findCluster } from '#infra/local/local-cluster.ts';
import { runCommand } from '#infra/local/run-command.ts';
import { nodeFlags } from '#node/interface/node-flags.ts';
import { imageArchitecture } from './oci/architecture.ts';
import { bundleApp, nativeAddons } from './oci/bundle-app.ts';
import { contentTag, describeImage, writeImageArchive, writeLayer, type Layer } from './oci/image-archive.ts';
import { IMAGE_USER_ID, nodeBaseEntries } from './oci/node-base.ts';
import { pushImage } from './oci/push-image.ts';
import type { TarEntry } from './oci/tar.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const ENTRIES = { operator: 'operator/main.ts', node: 'node-image/main.ts', storj: 'node-image/cli/storj.ts' };
const REPOSITORY = 'localhost/storj-node';
/** Two malloc arenas instead of eight for each core: an idle process keeps 20 MB less. */
const IMAGE_ENVIRONMENT = { NODE_ENV: 'production', MALLOC_ARENA_MAX: '2' };
/**
 * `kubectl run --image … storj ls` gives "storj" to Node as a file; with --command, or in `exec`, it is a program. Its
 * first line takes one flag: the one that saves most.
 */
const STORJ_PROGRAM = `#!/usr/local/bin/node ${nodeFlags('bridge')[0]}\nimport('/app/storj.mjs');\n`;
/** Older archives in the cache go. */
const KEEP_ARCHIVES = 6;

export interface ImageOptions {
  /** Where layers and archives are kept; default: the user's cache folder. */
  readonly cacheDir?: string;
  /** Bundle name → source below the project, for tests; default: the product's. */
  readonly entries?: Readonly<Record<string, string>>;
  readonly onProgress?: (line: string) => void;
}

export interface BuiltImage {
  /** localhost/storj-node:HASH */
  readonly name: string;
  /** The OCI archive. */
  readonly tar: string;
  /** What a registry would store: manifest, config and layers. */
  readonly compressedBytes: number;
}

/** Builds the image, or finds it built; only the bundling is always done (under two seconds). */
export async function buildProductImage(options: ImageOptions = {}): Promise<BuiltImage> {
  const cacheDir = options.cacheDir ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'storj-image');
  const say = options.onProgress ?? (() => {});
  const layersDir = join(cacheDir, 'layers');
  const addons = nativeAddons(ROOT, process.arch);
  const base = await cachedLayer('base with Node', nodeBaseEntries(ROOT, addons.binaries), layersDir, say);
  say('bundling the app');
  const bundles = await bundleApp({ root: ROOT, entries: options.entries ?? ENTRIES });
  const files = [...bundles].map(([name, bytes]): TarEntry => ({ path: `app/${name}`, mode: 0o644, content: { bytes } }));
  const app = await cachedLayer('app', [...files, ...addons.entries, ...programs(bundles)], layersDir, say);
  const image = describeImage(
    [base, app],
    {
      entrypoint: ['/usr/local/bin/node'],
      user: `${IMAGE_USER_ID}:${IMAGE_USER_ID}`,
      env: IMAGE_ENVIRONMENT,
      labels: labels(),
    },
    imageArchitecture(),
  );
  const name = `${REPOSITORY}:${contentTag(image)}`;
  const tar = join(cacheDir, `storj-node-${contentTag(image)}.tar`);
  if (!existsSync(tar)) await writeImageArchive(image, name, tar);
  removeOldArchives(cacheDir, tar);
  const compressedBytes = [image.manifest, image.config, ...image.layers].reduce((sum, blob) => sum + blob.sizeBytes, 0);
  say(`${name}, ${(compressedBytes / 2 ** 20).toFixed(1)} MiB`);
  return { name, tar, compressedBytes };
}

function programs(bundles: ReadonlyMap<string, Uint8Array>): TarEntry[] {
  if (!bundles.has('storj.mjs')) return [];
  return [
    { path: 'storj', mode: 0o777, content: { linkTo: 'usr/local/bin/storj' } },
    { path: 'usr/local/bin/storj', mode: 0o755, content: { bytes: Buffer.from(STORJ_PROGRAM) } },
  ];
}

/** Compressing Node takes seven seconds, so a layer is found again by the content of its files. */
async function cachedLayer(
  what: string,
  entries: readonly TarEntry[],
  layersDir: string,
  say: (line: string) => void,
): Promise<Layer> {
  const key = await entriesHash(entries);
  const file = join(layersDir, `${key}.tar.gz`);
  const record = join(layersDir, `${key}.json`);
  if (existsSync(file) && existsSync(record)) {
    const layer = JSON.parse(readFileSync(record, 'utf8')) as Omit<Layer, 'content'>;
    if (statSync(file).size === layer.sizeBytes) return { ...layer, content: { file } };
  }
  say(`packing the layer: ${what}`);
  const { content: _, ...layer } = await writeLayer(entries, file, 'gzip');
  const temporary = `${record}.${randomUUID()}.new`;
  writeFileSync(temporary, JSON.stringify(layer));
  renameSync(temporary, record);
  return { ...layer, content: { file } };
}

async function entriesHash(entries: readonly TarEntry[]): Promise<string> {
  const hash = createHash('sha256').update(`1 ${process.version}`); // the compressor is Node's
  for (const { path, mode, content } of entries) {
    hash.update(`\0${path}\0${mode}\0`);
    if (content === 'folder') continue;
    if ('linkTo' in content) hash.update(content.linkTo);
    else if ('bytes' in content) hash.update(content.bytes);
    else for await (const chunk of createReadStream(content.file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  }
  return hash.digest('hex').slice(0, 32);
}

function labels(): Record<string, string> {
  const { version, license, description } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
    string,
    string
  >;
  const label = (key: string, value: string | undefined) =>
    value === undefined ? {} : { [`org.opencontainers.image.${key}`]: value };
  return {
    ...label('title', 'storj-node'),
    ...label('version', version),
    ...label('licenses', license),
    ...label('description', description),
  };
}

function removeOldArchives(cacheDir: string, current: string): void {
  const archives = readdirSync(cacheDir)
    .filter((name) => /^storj-node-\w+\.tar$/.test(name))
    .map((name) => join(cacheDir, name))
    .filter((file) => file !== current)
    .map((file) => ({ file, at: statSync(file).mtimeMs }))
    .sort((a, b) => b.at - a.at);
  for (const { file } of archives.slice(KEEP_ARCHIVES - 1)) rmSync(file, { force: true });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { output: { type: 'string' }, load: { type: 'string' }, kind: { type: 'string' }, registry: { type: 'string' } },
  });
  const say = (line: string) => console.error(line);
  const built = await buildProductImage({ onProgress: say });
  const { name, tar } = built;
  if (values.output !== undefined) {
    mkdirSync(dirname(values.output), { recursive: true });
    copyFileSync(tar, values.output);
    say(`written to ${values.output}`);
  }
  if (values.load !== undefined) {
    const cluster = await findCluster(values.load);
    if (cluster === undefined) throw new Error(`no cluster "${values.load}" runs: npm run cluster -- up --name ${values.load}`);
    await cluster.loadImage(built);
    say(`loaded into the cluster "${values.load}"`);
  }
  if (values.kind !== undefined) {
    await runCommand('kind', ['load', 'image-archive', tar, '--name', values.kind], { timeoutMs: 600_000 });
    say(`loaded into kind's cluster "${values.kind}"`);
  }
  if (values.registry === undefined) {
    console.log(name);
    return;
  }
  const reference = `${values.registry}/${name.slice(name.lastIndexOf('/') + 1)}`;
  const credentialsFile = join(process.env['DOCKER_CONFIG'] ?? join(homedir(), '.docker'), 'config.json');
  await pushImage({ archive: tar, reference, credentialsFile });
  console.log(reference);
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
