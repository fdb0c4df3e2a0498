// Waits until a started cluster can be used, one named step after the other, and says what was
// missing and what its log says where it can't.
import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { boxRuns } from './box.ts';
import type { ClusterPaths } from './cluster-paths.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import { ClusterError } from './errors.ts';
import { runCommand } from './run-command.ts';

const DEFAULT_TIMEOUT_MS = 180_000;
const POLL_MS = 200;
const LOG_TAIL_LINES = 8;

interface Step {
  readonly what: string;
  /** The log that explains why it doesn't come. */
  readonly log: string;
  readonly done: () => Promise<boolean>;
}

export async function waitReady(
  paths: ClusterPaths,
  settings: ClusterSettings,
  say: (line: string) => void,
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Promise<void> {
  const began = performance.now();
  for (const step of steps(paths, settings)) {
    while (!(await step.done())) {
      const alive = await boxRuns(paths);
      if (!alive || performance.now() - began > timeoutMs) {
        const why = alive ? `not ready within ${timeoutMs / 1000} s` : 'its processes have ended';
        throw new ClusterError(
          'NotReady',
          `the cluster "${paths.name}" hasn't come up: ${step.what}: ${why}\n${tail(join(paths.logDir, alive ? step.log : 'box.log'))}`,
          `all logs are in ${paths.logDir}`,
        );
      }
      await sleep(POLL_MS);
    }
    say(`${step.what} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  }
}

function steps(paths: ClusterPaths, { mode, port }: ClusterSettings): Step[] {
  const kubectl = async (...args: string[]): Promise<string | undefined> => {
    try {
      return (
        await runCommand(join(paths.binDir, 'kube'), [
          'kubectl',
          '--kubeconfig',
          paths.kubeconfig,
          '--request-timeout=5s',
          ...args,
        ])
      ).stdout;
    } catch {
      return undefined; // asked again until the deadline, whose message has the component's own log
    }
  };
  const condition = (object: string, type: string) => async () =>
    (await kubectl('-n', 'kube-system', 'get', object, '-o', `jsonpath={.status.conditions[?(@.type=="${type}")].status}`)) ===
    'True';
  const node: Step[] = [
    { what: 'the node is ready', log: 'kubelet.log', done: condition('node/node', 'Ready') },
    {
      what: 'storage is ready',
      log: 'hostpath.log',
      done: async () =>
        ((await kubectl('get', 'csinode', 'node', '-o', 'jsonpath={.spec.drivers[*].name}')) ?? '').includes(
          'hostpath.csi.local',
        ),
    },
    { what: 'DNS is ready', log: 'kubelet.log', done: condition('deployment/coredns', 'Available') },
  ];
  return [
    { what: 'the API server is ready', log: 'apiserver.log', done: () => apiReady(paths, port) },
    ...(mode === 'node' ? node : []),
    {
      what: 'the default ServiceAccount exists',
      log: 'controller-manager.log',
      done: async () => (await kubectl('get', 'serviceaccount', 'default')) !== undefined,
    },
  ];
}

async function apiReady(paths: ClusterPaths, port: number): Promise<boolean> {
  const ca = readFileSync(join(paths.pkiDir, 'ca.crt'));
  return await new Promise((resolve) => {
    const call = request({ host: '127.0.0.1', port, path: '/readyz', ca, agent: false, timeout: 5_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(false));
    call.end();
  });
}

function tail(file: string): string {
  if (!existsSync(file)) return `(no ${file})`;
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES);
  return lines.map((line) => `  ${line.slice(0, 400)}`).join('\n');
}
