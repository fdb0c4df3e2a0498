// Images of programs that we didn't write: S3 clients and Prometheus, for the demo and the tests. Each
// is built once into the cache, as root or not, and holds a whole small Debian: size is no concern.
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hostConfig } from '#infra/local/config.ts';
import { withFileLock } from '#infra/local/file-lock.ts';
import { runCommand } from '#infra/local/run-command.ts';
import { imageArchitecture } from '#node/oci/architecture.ts';
import { bundleApp } from '#node/oci/bundle-app.ts';
import { folderEntries } from '#node/oci/folder-entries.ts';
import { contentTag, describeImage, writeImageArchive, writeLayer, type RunConfig } from '#node/oci/image-archive.ts';
import { IMAGE_USER_ID, nodeBaseEntries, systemEntries } from '#node/oci/node-base.ts';
import type { TarEntry } from '#node/oci/tar.ts';
import { debianRootfs } from './debian-rootfs.ts';

export interface ClientImage {
  readonly name: string;
  readonly tar: string;
}

export interface ClientImageOptions {
  readonly onProgress?: (line: string) => void;
}

interface Recipe {
  readonly name: string;
  /** Whatever decides the content; a change builds the image anew. */
  readonly inputs: readonly string[];
  readonly expected: string;
  readonly run: RunConfig;
  /** Files of the folder that stay beside the image, for programs that also run on this machine. */
  readonly keep?: readonly string[];
  /** Fills an empty folder of the cache and says what goes into the image. */
  readonly make: (folder: string) => Promise<TarEntry[]>;
}

const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const BUILD_TIMEOUT_MS = 20 * 60_000;
/** A shell and the usual small programs, for `kubectl exec`. */
const SMALL_SYSTEM = ['base-files', 'dash', 'coreutils'];
/** Raise it when the code here changes what comes out. */
const FORMAT = '3';

/** boto3 and the AWS CLI from PyPI on Debian's Python: `python3 SCRIPT`, `aws s3 …`. Has a shell. */
export function s3ClientImage(options: ClientImageOptions = {}): Promise<ClientImage> {
  const wheels = ['awscli==1.46.3', 'boto3==1.44.5'];
  return cachedImage(
    {
      name: 'python-s3',
      inputs: [...SMALL_SYSTEM, ...wheels],
      expected: 'about a minute: Debian and PyPI packages',
      run: { entrypoint: ['/usr/bin/python3'], env: { PYTHONPATH: '/opt/s3', HOME: '/tmp', AWS_EC2_METADATA_DISABLED: 'true' } },
      make: (folder) => pythonEntries(wheels, folder),
    },
    options,
  );
}

/** rclone as Debian ships it. Has a shell. */
export function rcloneImage(options: ClientImageOptions = {}): Promise<ClientImage> {
  return cachedImage(
    {
      name: 'rclone',
      inputs: [...SMALL_SYSTEM, 'rclone'],
      expected: 'about ten seconds: Debian packages',
      run: { entrypoint: ['/usr/bin/rclone'], env: { HOME: '/tmp' } },
      make: async (folder) => rootfsEntries(await debianRootfs([...SMALL_SYSTEM, 'rclone'], folder)),
    },
    options,
  );
}

/** Prometheus 2 as Debian ships it; takes --config.file and --storage.tsdb.path. `promtool` is in it too. */
export function prometheusImage(options: ClientImageOptions = {}): Promise<ClientImage> {
  return cachedImage(
    {
      name: 'prometheus',
      inputs: [...SMALL_SYSTEM, 'prometheus'],
      expected: 'about fifteen seconds: Debian packages',
      keep: ['promtool'],
      run: { entrypoint: ['/usr/bin/prometheus'], ports: [9090], workingDir: '/tmp' },
      make: async (folder) => {
        const root = await debianRootfs([...SMALL_SYSTEM, 'prometheus'], folder);
        copyFileSync(join(root, 'usr/bin/promtool'), join(folder, 'promtool'));
        return rootfsEntries(root);
      },
    },
    options,
  );
}

/** AWS SDK for JavaScript v3 on our Node, with infra/images/aws-sdk-client.ts as `/app/s3.mjs`: its first lines say what it does. */
export async function awsSdkJsImage(options: ClientImageOptions = {}): Promise<ClientImage> {
  const bundles = await bundleApp({ root: PROJECT, entries: { s3: 'infra/images/aws-sdk-client.ts' } });
  const files = [...bundles].map(([name, bytes]): TarEntry => ({ path: `app/${name}`, mode: 0o644, content: { bytes } }));
  const digests = [...bundles.values()].map((bytes) => createHash('sha256').update(bytes).digest('hex'));
  return await cachedImage(
    {
      name: 'aws-sdk-js',
      inputs: [process.version, ...digests],
      expected: 'a few seconds',
      run: { entrypoint: ['/usr/local/bin/node', '/app/s3.mjs'] },
      make: async () => [...nodeBaseEntries(PROJECT), ...files],
    },
    options,
  );
}

/** Debian's promtool as a path to run on this machine. */
export async function promtoolPath(options: ClientImageOptions = {}): Promise<string> {
  await prometheusImage(options);
  return join(hostConfig().cacheDir, 'client-images', 'prometheus', 'promtool');
}

async function cachedImage(recipe: Recipe, { onProgress = () => {} }: ClientImageOptions): Promise<ClientImage> {
  const { cacheDir } = hostConfig();
  const folder = join(cacheDir, 'client-images', recipe.name);
  const key = createHash('sha256')
    .update(JSON.stringify([FORMAT, process.arch, recipe.inputs]))
    .digest('hex');
  const record = join(folder, 'image.json');
  const found = () => {
    if (!existsSync(record)) return undefined;
    const { key: builtFrom, ...image } = JSON.parse(readFileSync(record, 'utf8')) as ClientImage & { key: string };
    return builtFrom === key && existsSync(image.tar) ? image : undefined;
  };
  const before = found();
  if (before !== undefined) return before;
  return await withFileLock(join(cacheDir, 'locks', `image-${recipe.name}`), BUILD_TIMEOUT_MS, async () => {
    const made = found();
    if (made !== undefined) return made;
    onProgress(`building the image ${recipe.name} (${recipe.expected})`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const entries = await recipe.make(folder);
    const layer = await writeLayer(entries, join(folder, 'layer.tar'), 'none');
    const image = describeImage([layer], { user: `${IMAGE_USER_ID}:${IMAGE_USER_ID}`, ...recipe.run }, imageArchitecture());
    const name = `localhost/${recipe.name}:${contentTag(image)}`;
    const tar = join(folder, 'image.tar');
    await writeImageArchive(image, name, tar);
    const done = new Set([tar, record, ...(recipe.keep ?? []).map((name) => join(folder, name))]);
    for (const part of readdirSync(folder).map((entry) => join(folder, entry)))
      if (!done.has(part)) rmSync(part, { recursive: true, force: true });
    writeFileSync(`${record}.new`, JSON.stringify({ key, name, tar }));
    renameSync(`${record}.new`, record);
    return { name, tar };
  });
}

/** What a program in a pod never opens, and what makes an image ten times as large (the packages of web pages). */
const LEFT_OUT =
  /^usr\/share\/(doc|man|locale|info|javascript|nodejs|perl|python-wheels)(\/|$)|^usr\/lib\/[^/]+\/(gconv|perl)(\/|$)|\/moment-timezone\//;

/** Our users and name service instead of the packages' own. */
function rootfsEntries(root: string): TarEntry[] {
  const system = systemEntries();
  const ours = new Set(system.map((entry) => entry.path));
  return [...folderEntries(root).filter((entry) => !ours.has(entry.path) && !LEFT_OUT.test(entry.path)), ...system];
}

/** pip runs on the unpacked Python itself, so this machine needs none, and compiles for a read-only root. */
async function pythonEntries(wheels: readonly string[], folder: string): Promise<TarEntry[]> {
  const root = await debianRootfs([...SMALL_SYSTEM, 'python3', 'python3-pip-whl'], folder);
  const library = join(root, 'usr/lib', { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch as 'x64' | 'arm64']);
  const wheel = join(root, 'usr/share/python-wheels');
  const target = join(root, 'opt/s3');
  const python = join(root, 'usr/bin/python3');
  const env = {
    LD_LIBRARY_PATH: `${library}:${library.replace('/usr/lib', '/lib')}`,
    PYTHONHOME: join(root, 'usr'),
    PYTHONNOUSERSITE: '1',
    PIP_DISABLE_PIP_VERSION_CHECK: '1',
  };
  const { stdout } = await runCommand('find', [wheel, '-name', 'pip-*.whl']);
  const pip = ['-m', 'pip', 'install', '--quiet', '--only-binary=:all:', '--no-compile', '--target', target, ...wheels];
  await runCommand(python, pip, { env: { ...env, PYTHONPATH: stdout.trim() }, timeoutMs: 600_000 });
  // Checked by nothing at run time: the files' times are gone from the image.
  const compile = ['-m', 'compileall', '-q', '-j', '0', '--invalidation-mode', 'unchecked-hash', '-s', root, '-p', '/'];
  await runCommand(python, [...compile, join(root, 'usr/lib/python3.11'), target], { env, timeoutMs: 600_000 });
  const aws = '#!/usr/bin/python3\nimport sys\nfrom awscli.clidriver import main\nsys.exit(main())\n';
  if (!existsSync(join(root, 'bin/sh'))) symlinkSync('dash', join(root, 'bin/sh'));
  return [...rootfsEntries(root), { path: 'usr/local/bin/aws', mode: 0o755, content: { bytes: Buffer.from(aws) } }];
}
