// Builds the cluster's binaries from their Go modules, each once: a stamp beside the binary holds
// the hash of what it was made from, so a new clone of this repository rebuilds nothing.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { SOURCE_DIR } from './cluster-paths.ts';
import type { HostConfig } from './config.ts';
import { ClusterError } from './errors.ts';
import { withFileLock } from './file-lock.ts';
import { checkDisk, checkGo } from './preflight.ts';
import { CommandFailedError, runCommand } from './run-command.ts';

export type BinaryGroup = 'control-plane' | 'node' | 'helm';

interface Binary {
  readonly name: string;
  readonly group: BinaryGroup;
  readonly package: string;
  /** Measured on two cores with empty Go caches; what comes first pays for what is shared. */
  readonly expectedSeconds: number;
}

const CONTAINERD = 'github.com/containerd/containerd/v2/cmd';
const CNI = 'github.com/containernetworking/plugins/plugins';
const BINARIES: readonly Binary[] = [
  { name: 'nodebox', group: 'control-plane', package: './nodebox', expectedSeconds: 8 },
  { name: 'kube', group: 'control-plane', package: './kube', expectedSeconds: 480 },
  { name: 'pause', group: 'node', package: './pause', expectedSeconds: 1 },
  { name: 'hostpath', group: 'node', package: './hostpath', expectedSeconds: 15 },
  { name: 'netpol', group: 'node', package: './netpol', expectedSeconds: 5 },
  { name: 'containerd', group: 'node', package: `${CONTAINERD}/containerd`, expectedSeconds: 50 },
  { name: 'containerd-shim-runc-v2', group: 'node', package: `${CONTAINERD}/containerd-shim-runc-v2`, expectedSeconds: 5 },
  { name: 'ctr', group: 'node', package: `${CONTAINERD}/ctr`, expectedSeconds: 5 },
  { name: 'cni/ptp', group: 'node', package: `${CNI}/main/ptp`, expectedSeconds: 3 },
  { name: 'cni/loopback', group: 'node', package: `${CNI}/main/loopback`, expectedSeconds: 2 },
  { name: 'cni/host-local', group: 'node', package: `${CNI}/ipam/host-local`, expectedSeconds: 2 },
  { name: 'cni/portmap', group: 'node', package: `${CNI}/meta/portmap`, expectedSeconds: 2 },
  { name: 'coredns', group: 'node', package: './dns', expectedSeconds: 25 },
  { name: 'helm', group: 'helm', package: 'helm.sh/helm/v4/cmd/helm', expectedSeconds: 45 },
];

/** A cold build by someone else must be waited for, also on a slow machine. */
const BUILD_TIMEOUT_MS = 60 * 60_000;
const HEARTBEAT_MS = 20_000;

function missingBinaries(groups: readonly BinaryGroup[], host: HostConfig): string[] {
  return wantedBinaries(groups, host)
    .filter(({ fresh }) => !fresh)
    .map(({ binary }) => binary.name);
}

/** Builds what is missing or was made from something else. Harmless to call at once from several processes. */
export async function ensureBinaries(
  groups: readonly BinaryGroup[],
  host: HostConfig,
  onProgress: (line: string) => void,
): Promise<void> {
  if (missingBinaries(groups, host).length === 0) return;
  await checkGo();
  await checkDisk(host.cacheDir, 'build');
  onProgress('waiting for the right to build …');
  await withFileLock(join(host.cacheDir, 'locks', 'build'), BUILD_TIMEOUT_MS, async () => {
    const wanted = wantedBinaries(groups, host).filter(({ fresh }) => !fresh);
    const seconds = wanted.reduce((sum, { binary }) => sum + binary.expectedSeconds, 0);
    onProgress(
      `building ${wanted.length} binaries from Go modules: about ${duration(seconds)} on two cores with empty caches, less with warm ones`,
    );
    for (const [index, { binary, inputs }] of wanted.entries()) {
      await buildBinary(binary, inputs, host, (line) => onProgress(`[${index + 1}/${wanted.length}] ${line}`));
    }
  });
}

function wantedBinaries(groups: readonly BinaryGroup[], host: HostConfig): { binary: Binary; inputs: string; fresh: boolean }[] {
  const shared = createHash('sha256')
    .update(readFileSync(join(SOURCE_DIR, 'go.mod')))
    .update(readFileSync(join(SOURCE_DIR, 'go.sum')))
    .digest('hex');
  return BINARIES.filter((binary) => groups.includes(binary.group)).map((binary) => {
    const hash = createHash('sha256').update(`${shared} ${binary.package} ${linkerFlags(binary)}`);
    if (binary.package.startsWith('./')) {
      const folder = join(SOURCE_DIR, binary.package);
      for (const file of readdirSync(folder).sort()) hash.update(readFileSync(join(folder, file)));
    }
    const inputs = hash.digest('hex');
    const path = join(host.cacheDir, 'bin', binary.name);
    const fresh = existsSync(path) && existsSync(`${path}.inputs`) && readFileSync(`${path}.inputs`, 'utf8') === inputs;
    return { binary, inputs, fresh };
  });
}

function linkerFlags(binary: Binary): string {
  if (binary.name !== 'kube') return '-s -w';
  const version = /^\s*k8s\.io\/kubernetes (v1\.(\d+)\.\d+)$/m.exec(readFileSync(join(SOURCE_DIR, 'go.mod'), 'utf8'));
  const set = (name: string, value: string) => `-X k8s.io/component-base/version.${name}=${value}`;
  return [
    '-s -w',
    set('gitVersion', version?.[1] ?? ''),
    set('gitMajor', '1'),
    set('gitMinor', version?.[2] ?? ''),
    set('gitTreeState', 'clean'),
  ].join(' ');
}

async function buildBinary(binary: Binary, inputs: string, host: HostConfig, say: (line: string) => void): Promise<void> {
  const path = join(host.cacheDir, 'bin', binary.name);
  mkdirSync(dirname(path), { recursive: true });
  // No commit is stamped in: the same source gives the same bytes.
  const env = { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false' };
  const began = performance.now();
  const elapsed = () => duration((performance.now() - began) / 1000);
  let compiled = 0;
  let downloaded = 0;
  say(`${binary.name} … (about ${duration(binary.expectedSeconds)})`);
  const heartbeat = setInterval(
    () => say(`${binary.name}: ${downloaded} modules fetched, ${compiled} packages compiled, ${elapsed()} so far`),
    HEARTBEAT_MS,
  );
  try {
    await runCommand('go', ['build', '-v', '-trimpath', '-ldflags', linkerFlags(binary), '-o', `${path}.new`, binary.package], {
      cwd: SOURCE_DIR,
      env,
      timeoutMs: BUILD_TIMEOUT_MS,
      onErrorLine: (line) => {
        if (line.startsWith('go: downloading ')) downloaded += 1;
        else compiled += 1;
      },
    });
  } catch (error) {
    const text =
      error instanceof CommandFailedError
        ? error.stderr.split('\n').filter((line) => !/^go: downloading |^[\w./-]+$/.test(line))
        : [];
    const what = `building ${binary.name} failed after ${elapsed()}: ${text.slice(-15).join('\n').trim()}`;
    throw new ClusterError(
      'BuildFailed',
      what,
      'if a module could not be fetched, check GOPROXY and try again: what is built stays built',
      { cause: error },
    );
  } finally {
    clearInterval(heartbeat);
  }
  renameSync(`${path}.new`, path);
  if (binary.name === 'kube') linkKubectl(dirname(path));
  writeFileSync(`${path}.inputs`, inputs);
  say(`${binary.name} built in ${elapsed()}, ${Math.ceil(statSync(path).size / 1e6)} MB`);
}

/** The multi-call binary is kubectl under that name, for whoever puts the folder on PATH. */
function linkKubectl(binDir: string): void {
  const link = join(binDir, 'kubectl');
  rmSync(link, { force: true });
  symlinkSync('kube', link);
}

function duration(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 90 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
