// What a machine must have before a cluster can start: looked at once, reported together, in the
// order in which a person would mend it.
import { existsSync, mkdirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { HostConfig } from './config.ts';
import { ClusterError } from './errors.ts';
import { runCommand } from './run-command.ts';

export type ClusterMode = 'node' | 'control-plane';

/** Command → the Debian package that has it. Nothing of them starts a service. */
const PACKAGES: Readonly<Record<ClusterMode, Readonly<Record<string, string>>>> = {
  'control-plane': { ip: 'iproute2', nsenter: 'util-linux', flock: 'util-linux', openssl: 'openssl', curl: 'curl' },
  node: {
    runc: 'runc',
    nft: 'nftables',
    conntrack: 'conntrack',
    'mkfs.xfs': 'xfsprogs',
    xfs_growfs: 'xfsprogs',
    losetup: 'mount',
    blkid: 'util-linux',
    findmnt: 'util-linux',
    mountpoint: 'util-linux',
  },
};

/** Go's caches take 7 GB, the binaries half a gigabyte. */
const BUILD_BYTES = 10e9;
const RUN_BYTES = 3e9;
const GO_MINOR = 26;

export function checkMachine(): void {
  if (process.platform !== 'linux') {
    throw new ClusterError(
      'NotLinux',
      `the local cluster needs Linux; this is ${process.platform}`,
      'use a Linux machine or VM, or an existing cluster',
    );
  }
  if (process.getuid?.() !== 0) {
    throw new ClusterError(
      'NotRoot',
      'the local cluster needs root: it makes namespaces, mounts and cgroups',
      'run the same command with sudo',
    );
  }
}

function missingCommands(mode: ClusterMode, path: string): string[] {
  const wanted = mode === 'node' ? { ...PACKAGES['control-plane'], ...PACKAGES.node } : PACKAGES['control-plane'];
  const found = (command: string) => path.split(':').some((folder) => existsSync(join(folder, command)));
  return Object.keys(wanted).filter((command) => !found(command));
}

/** Debian packages that `up` would install now, sorted. */
function missingPackages(mode: ClusterMode, host: HostConfig): string[] {
  const packages: Readonly<Record<string, string>> = { ...PACKAGES['control-plane'], ...PACKAGES.node };
  return [...new Set(missingCommands(mode, host.environment.PATH ?? '').map((command) => packages[command] ?? command))].sort();
}

export async function installMissingPackages(
  mode: ClusterMode,
  host: HostConfig,
  onProgress: (line: string) => void,
): Promise<void> {
  const packages = missingPackages(mode, host);
  if (packages.length === 0) return;
  if (!existsSync('/usr/bin/apt-get')) {
    throw new ClusterError(
      'CommandsMissing',
      `missing: ${missingCommands(mode, host.environment.PATH ?? '').join(', ')}`,
      `install what Debian calls ${packages.join(' ')}`,
    );
  }
  onProgress(`installing Debian packages: ${packages.join(' ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' };
  const lock = ['-o', 'DPkg::Lock::Timeout=120'];
  const install = () =>
    runCommand('apt-get', [...lock, 'install', '-y', '-q', '--no-install-recommends', ...packages], { env, timeoutMs: 600_000 });
  try {
    await install();
  } catch {
    await runCommand('apt-get', [...lock, 'update', '-q'], { env, timeoutMs: 300_000 }); // package lists are old or empty
    await install();
  }
  const still = missingCommands(mode, host.environment.PATH ?? '');
  if (still.length > 0)
    throw new ClusterError(
      'CommandsMissing',
      `still missing after installing ${packages.join(' ')}: ${still.join(', ')}`,
      'install them by hand',
    );
}

export async function checkGo(): Promise<void> {
  const remedy = `install Go 1.${GO_MINOR} or newer (go.dev/dl) and put its bin folder on PATH`;
  let version: string;
  try {
    version = (await runCommand('go', ['env', 'GOVERSION'])).stdout.trim();
  } catch (error) {
    throw new ClusterError('GoMissing', 'Kubernetes is built here from its Go modules, and there is no Go', remedy, {
      cause: error,
    });
  }
  const minor = Number(/^go1\.(\d+)/.exec(version)?.[1] ?? 0);
  if (minor < GO_MINOR) throw new ClusterError('GoMissing', `${version} is too old`, remedy);
}

export async function checkDisk(path: string, purpose: 'build' | 'run'): Promise<void> {
  mkdirSync(path, { recursive: true });
  const { bavail, bsize } = await statfs(path);
  const needed = purpose === 'build' ? BUILD_BYTES : RUN_BYTES;
  if (bavail * bsize < needed) {
    const gb = (bytes: number) => (bytes / 1e9).toFixed(1);
    throw new ClusterError(
      'DiskFull',
      `${path} has ${gb(bavail * bsize)} GB free; to ${purpose} takes ${gb(needed)} GB`,
      'free some space',
    );
  }
}

/** A port of 127.0.0.1 that nobody listens on: the wanted one, or any for 0. */
export async function freePort(wanted: number): Promise<number> {
  const server = createServer();
  return await new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new ClusterError(
          'PortTaken',
          `port ${wanted} of 127.0.0.1 is taken`,
          'choose another with --port, or end what listens there',
          { cause },
        ),
      ),
    );
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : wanted));
    });
  });
}
