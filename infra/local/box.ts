// The box: the namespaces in which a cluster's processes live (nodebox/main.go), and what is left
// on the machine when it ends.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADDRESSES, SOURCE_DIR, type ClusterPaths } from './cluster-paths.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import { CommandFailedError, runCommand } from './run-command.ts';

const API_INSIDE = '127.0.0.1:6443';
const STOP_GRACE_S = 10;
const CGROUP_ROOT = '/sys/fs/cgroup';

export async function boxRuns(paths: ClusterPaths): Promise<boolean> {
  if (!existsSync(paths.pidfile)) return false;
  try {
    await runCommand(join(paths.binDir, 'nodebox'), ['status', '-pidfile', paths.pidfile]);
    return true;
  } catch (error) {
    if (error instanceof CommandFailedError && error.exitCode === 1) return false;
    throw error;
  }
}

/** Writes keys and configuration where they are missing and starts the box; its first process is node.sh. */
export async function startBox(paths: ClusterPaths, settings: ClusterSettings): Promise<void> {
  await removeCgroups(paths); // of a box that was killed: the kubelet waits for every container that it finds there
  for (const folder of [paths.logDir, paths.configDir, paths.pkiDir, dirname(paths.auditLog)])
    mkdirSync(folder, { recursive: true });
  const env = {
    LK_STATE: paths.stateDir,
    LK_BIN: paths.binDir,
    LK_IMAGES: paths.systemImagesDir,
    LK_MODE: settings.mode,
    LK_CGROUP: paths.cgroup,
    LK_NODE_IP: ADDRESSES.node,
    LK_SERVICE_CIDR: ADDRESSES.serviceCidr,
    LK_API_SERVICE_IP: ADDRESSES.apiService,
    LK_APISERVER_ARGS: [...auditArgs(paths, settings), ...settings.apiserverArgs].join('\n'),
    LK_CONTROLLER_MANAGER_ARGS: settings.controllerManagerArgs.join('\n'),
  };
  if (!existsSync(join(paths.pkiDir, 'admin.kubeconfig'))) {
    await runCommand('bash', [join(SOURCE_DIR, 'pki.sh'), paths.pkiDir], { env });
  }
  const admin = readFileSync(join(paths.pkiDir, 'admin.kubeconfig'), 'utf8');
  writeFileSync(paths.kubeconfig, admin.replace(`https://${API_INSIDE}`, `https://127.0.0.1:${settings.port}`), { mode: 0o600 });
  renderConfig(paths);
  const forwards = [`127.0.0.1:${settings.port}=${API_INSIDE}`, ...settings.forwards].flatMap((forward) => ['-forward', forward]);
  const args = [
    'run',
    '-pidfile',
    paths.pidfile,
    '-log',
    join(paths.logDir, 'box.log'),
    ...forwards,
    '--',
    '/usr/bin/env',
    'bash',
    join(SOURCE_DIR, 'node.sh'),
  ];
  await runCommand(join(paths.binDir, 'nodebox'), args, { env });
}

/** Ends the box and so every process in it; the kernel drops its mounts, loop devices and network. */
export async function stopBox(paths: ClusterPaths): Promise<void> {
  if (await boxRuns(paths))
    await runCommand(join(paths.binDir, 'nodebox'), ['stop', '-pidfile', paths.pidfile, '-grace', `${STOP_GRACE_S}s`]);
  rmSync(paths.pidfile, { force: true });
  await removeCgroups(paths);
}

/** The command line that runs a program of this machine inside the box; it ends when the returned command is killed. */
export function insideBox(paths: ClusterPaths, command: readonly string[]): { command: string; args: string[] } {
  return {
    command: join(paths.binDir, 'nodebox'),
    args: ['enter', '-pidfile', paths.pidfile, '--', 'setpriv', '--pdeathsig', 'KILL', ...command],
  };
}

function auditArgs(paths: ClusterPaths, settings: ClusterSettings): string[] {
  if (settings.audit === 'None') return [];
  const policy = join(paths.configDir, 'audit-policy.json');
  writeFileSync(policy, JSON.stringify(auditPolicy(settings.audit)));
  // Blocking (the default): an answered request is in the file.
  return [
    `--audit-policy-file=${policy}`,
    `--audit-log-path=${paths.auditLog}`,
    '--audit-log-mode=blocking',
    '--audit-log-maxsize=2000',
  ];
}

/** Everything that people, operators and tests do at the asked level; of Kubernetes' own parts only writes, briefly. */
function auditPolicy(level: ClusterSettings['audit']): object {
  const own = [
    'system:apiserver',
    'system:kube-controller-manager',
    'system:kube-scheduler',
    'system:kube-proxy',
    'system:netpol',
    'system:storage',
  ];
  const ownGroups = ['system:nodes', 'system:serviceaccounts:kube-system'];
  const reads = ['get', 'list', 'watch'];
  return {
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    rules: [
      { level: 'None', users: own, verbs: reads },
      { level: 'None', userGroups: ownGroups, verbs: reads },
      { level: 'None', nonResourceURLs: ['/readyz*', '/livez*', '/healthz*', '/metrics'] },
      { level: 'Metadata', users: own },
      { level: 'Metadata', userGroups: ownGroups },
      { level },
    ],
  };
}

function renderConfig(paths: ClusterPaths): void {
  const values: Readonly<Record<string, string>> = {
    BIN: paths.binDir,
    STATE: paths.stateDir,
    CGROUP: paths.cgroup,
    NODE_IP: ADDRESSES.node,
    DNS_IP: ADDRESSES.dns,
    POD_CIDR: ADDRESSES.podCidr,
    SERVICE_CIDR: ADDRESSES.serviceCidr,
  };
  const templates = join(SOURCE_DIR, 'config');
  for (const entry of readdirSync(templates, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const source = join(entry.parentPath, entry.name);
    const target = join(paths.configDir, source.slice(templates.length + 1));
    const text = readFileSync(source, 'utf8').replaceAll(/@([A-Z_]+)@/g, (whole, key: string) => values[key] ?? whole);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
}

/** Only empty folders can be removed, so nothing is ended here. Waits while the kernel still empties them. */
async function removeCgroups(paths: ClusterPaths): Promise<void> {
  const trees = readdirSync(CGROUP_ROOT, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const roots = [join(CGROUP_ROOT, paths.cgroup), ...trees.map((tree) => join(CGROUP_ROOT, tree.name, paths.cgroup))];
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const left = roots.filter((root) => existsSync(root) && !removeCgroup(root));
    if (left.length === 0) return;
    await sleep(100);
  }
}

function removeCgroup(folder: string): boolean {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) removeCgroup(join(folder, entry.name));
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
