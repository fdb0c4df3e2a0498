// A real one-node Kubernetes on this machine, in namespaces of its own with no way out: started,
// found and ended from here. `cluster.ts` is its command line; tests and the demo call ensureCluster.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { boxRuns, insideBox, startBox, stopBox } from './box.ts';
import { ensureBinaries } from './build.ts';
import { clusterPaths, type ClusterPaths } from './cluster-paths.ts';
import { differences, parseForward, readSettings, type ClusterSettings } from './cluster-settings.ts';
import { hostConfig, type HostConfig } from './config.ts';
import { ClusterError } from './errors.ts';
import { withFileLock } from './file-lock.ts';
import { checkDisk, checkMachine, freePort, installMissingPackages, type ClusterMode } from './preflight.ts';
import { runCommand, type CommandResult, type RunOptions } from './run-command.ts';
import { ensureSystemImages } from './system-images.ts';
import { waitReady } from './wait-ready.ts';

export interface ClusterOptions {
  readonly name: string;
  /** `control-plane`: etcd, API server and controller manager only; nothing runs pods. Default `node`. */
  readonly mode?: ClusterMode;
  /** Of the API server on 127.0.0.1. Default: the running cluster's, else a free one. */
  readonly port?: number;
  /** More ways in: "30900" (a NodePort on 127.0.0.1) or "127.0.0.1:30900=10.250.0.1:30900". */
  readonly forwards?: readonly string[];
  readonly apiserverArgs?: readonly string[];
  readonly controllerManagerArgs?: readonly string[];
  /** Level of the API server's audit log for everybody but Kubernetes' own parts. Default None. */
  readonly audit?: ClusterSettings['audit'];
  /** Ends a cluster of this name first, with its data. */
  readonly fresh?: boolean;
  /** How long a start may take until everything is ready; default three minutes. */
  readonly readyTimeoutMs?: number;
  readonly onProgress?: (line: string) => void;
}

export interface LocalCluster {
  readonly name: string;
  readonly mode: ClusterMode;
  readonly port: number;
  /** `system:masters`. */
  readonly kubeconfigPath: string;
  readonly logDir: string;
  /** One JSON audit event on each line; undefined where the cluster runs without auditing. */
  readonly auditLogPath: string | undefined;
  /** Standard output of kubectl; throws CommandFailedError. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Standard output of helm 4; throws CommandFailedError. Builds helm where it is missing. */
  helm(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Imports an image archive into the node's containerd, unless an image of this name is there. Use imagePullPolicy Never or IfNotPresent. */
  loadImage(image: { readonly name: string; readonly tar: string }): Promise<void>;
  /** Runs a program of this machine inside the cluster's network, where pod and Service addresses work. */
  enter(command: readonly string[], options?: RunOptions): Promise<CommandResult>;
  /** The same as a command line, for a process that the caller starts and ends itself. */
  insideCommand(command: readonly string[]): { command: string; args: string[] };
  /** Ends it and removes everything of it; keepData leaves etcd and volumes for the next start. */
  down(options?: { readonly keepData?: boolean }): Promise<void>;
}

/** One cluster starting must be waited for by the others that want it. */
const LOCK_TIMEOUT_MS = 10 * 60_000;

/** The cluster of this name, started where it doesn't run. Harmless to call again and at once from several processes. */
export async function ensureCluster(options: ClusterOptions): Promise<LocalCluster> {
  const host = hostConfig();
  const paths = clusterPaths(options.name, host);
  const say = options.onProgress ?? (() => {});
  const wanted = wantedSettings(options);
  const mode = options.mode ?? (options.fresh === true ? undefined : readSettings(paths.settings)?.mode) ?? 'node';
  await prepareMachine(mode, say);
  return await withFileLock(paths.lock, LOCK_TIMEOUT_MS, async () => {
    if (options.fresh === true) await removeCluster(paths, false);
    let settings = (await boxRuns(paths)) ? readSettings(paths.settings) : undefined;
    if (settings !== undefined) {
      const differing = differences(settings, wanted);
      if (differing.length > 0) {
        throw new ClusterError(
          'ClusterDiffers',
          `the cluster "${options.name}" runs with other settings: ${differing.join('; ')}`,
          'take it down first, or use another name',
        );
      }
      say(`"${options.name}" is already up`);
    } else {
      settings = await start(paths, host, { ...wanted, mode }, say);
    }
    await waitReady(paths, settings, say, options.readyTimeoutMs);
    return handle(paths, settings, host);
  });
}

/** What a cluster needs of this machine: packages, and binaries that are built where they are missing. The first time takes minutes. */
export async function prepareMachine(mode: ClusterMode, onProgress: (line: string) => void): Promise<void> {
  checkMachine();
  const host = hostConfig();
  await installMissingPackages(mode, host, onProgress);
  await ensureBinaries(mode === 'node' ? ['control-plane', 'node', 'helm'] : ['control-plane'], host, onProgress);
}

/** The running cluster of this name, or undefined. */
export async function findCluster(name: string): Promise<LocalCluster | undefined> {
  const host = hostConfig();
  const paths = clusterPaths(name, host);
  const settings = (await boxRuns(paths)) ? readSettings(paths.settings) : undefined;
  return settings === undefined ? undefined : handle(paths, settings, host);
}

/** Ends the cluster of this name, also what a broken start left of it. Returns whether there was anything. */
export async function removeClusterNamed(name: string, options: { readonly keepData?: boolean } = {}): Promise<boolean> {
  checkMachine();
  const paths = clusterPaths(name, hostConfig());
  return await withFileLock(paths.lock, LOCK_TIMEOUT_MS, async () => {
    const existed = existsSync(paths.stateDir);
    await removeCluster(paths, options.keepData === true);
    return existed;
  });
}

/** Path of a helm 4 that is built where it is missing; needs neither root nor a cluster. */
export async function helmPath(onProgress: (line: string) => void = () => {}): Promise<string> {
  const host = hostConfig();
  await ensureBinaries(['helm'], host, onProgress);
  return join(host.cacheDir, 'bin', 'helm');
}

function wantedSettings(options: ClusterOptions): Partial<ClusterSettings> {
  const { mode, port, forwards, apiserverArgs, controllerManagerArgs, audit } = options;
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(port === undefined ? {} : { port }),
    ...(forwards === undefined ? {} : { forwards: forwards.map(parseForward) }),
    ...(apiserverArgs === undefined ? {} : { apiserverArgs: [...apiserverArgs] }),
    ...(controllerManagerArgs === undefined ? {} : { controllerManagerArgs: [...controllerManagerArgs] }),
    ...(audit === undefined ? {} : { audit }),
  };
}

async function start(
  paths: ClusterPaths,
  host: HostConfig,
  wanted: Partial<ClusterSettings>,
  say: (line: string) => void,
): Promise<ClusterSettings> {
  await checkDisk(host.stateRoot, 'run');
  const kept = readSettings(paths.settings); // of a cluster that was taken down with its data kept
  if (kept !== undefined && wanted.mode !== undefined && kept.mode !== wanted.mode) {
    throw new ClusterError(
      'ClusterDiffers',
      `"${paths.name}" has kept data of a ${kept.mode} cluster`,
      'take it down without keeping data first',
    );
  }
  const defaults: Omit<ClusterSettings, 'port'> = {
    mode: 'node',
    forwards: [],
    apiserverArgs: [],
    controllerManagerArgs: [],
    audit: 'None',
  };
  const given: Omit<ClusterSettings, 'port'> & Partial<ClusterSettings> = { ...defaults, ...kept, ...wanted };
  const settings: ClusterSettings = { ...given, port: await freePort(given.port ?? 0) };
  for (const forward of settings.forwards) await freePort(Number(forward.split('=')[0]?.split(':')[1]));
  if (settings.mode === 'node') await ensureSystemImages(paths);
  mkdirSync(paths.stateDir, { recursive: true });
  writeFileSync(paths.settings, JSON.stringify(settings));
  await startBox(paths, settings);
  say(`"${paths.name}" is starting: ${settings.mode}, API server on 127.0.0.1:${settings.port}`);
  return settings;
}

async function removeCluster(paths: ClusterPaths, keepData: boolean): Promise<void> {
  await stopBox(paths);
  // Not rmSync: this one stops at a mount, should one ever be left below.
  if (!keepData) await runCommand('rm', ['-rf', '--one-file-system', paths.stateDir]);
}

function handle(paths: ClusterPaths, settings: ClusterSettings, host: HostConfig): LocalCluster {
  const ctr = async (args: readonly string[]) =>
    (
      await runCommand(join(paths.binDir, 'ctr'), ['--address', paths.containerdSocket, '--namespace', 'k8s.io', ...args], {
        timeoutMs: 300_000,
      })
    ).stdout;
  const insideCommand = (command: readonly string[]) => insideBox(paths, command);
  return {
    name: paths.name,
    mode: settings.mode,
    port: settings.port,
    kubeconfigPath: paths.kubeconfig,
    logDir: paths.logDir,
    auditLogPath: settings.audit === 'None' ? undefined : paths.auditLog,
    kubectl: async (args, options) =>
      (await runCommand(join(paths.binDir, 'kube'), ['kubectl', '--kubeconfig', paths.kubeconfig, ...args], options)).stdout,
    helm: async (args, options) => {
      await ensureBinaries(['helm'], host, () => {});
      return (await runCommand(join(paths.binDir, 'helm'), ['--kubeconfig', paths.kubeconfig, ...args], options)).stdout;
    },
    loadImage: async ({ name, tar }) => {
      const present = await ctr(['images', 'ls', '-q', `name==${name}`]);
      if (!present.split('\n').includes(name)) await ctr(['images', 'import', tar]);
    },
    enter: async (command, options) => {
      const inside = insideCommand(command);
      return await runCommand(inside.command, inside.args, options);
    },
    insideCommand,
    down: async (options) => void (await removeClusterNamed(paths.name, options)),
  };
}
