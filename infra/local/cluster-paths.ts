// Where one cluster's files lie, and the addresses inside its box. The addresses may be the same in
// every cluster: nothing leaves a box.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostConfig } from './config.ts';
import { ClusterError } from './errors.ts';

export const SOURCE_DIR = fileURLToPath(new URL('.', import.meta.url)).replace(/\/$/, '');

export const ADDRESSES = {
  node: '10.250.0.1', // on the box's own loopback device
  podCidr: '10.244.0.0/24',
  serviceCidr: '10.96.0.0/16',
  apiService: '10.96.0.1',
  dns: '10.96.0.10',
} as const;

export interface ClusterPaths {
  readonly name: string;
  readonly binDir: string;
  readonly systemImagesDir: string;
  readonly stateDir: string;
  readonly settings: string;
  readonly pidfile: string;
  readonly pkiDir: string;
  readonly configDir: string;
  readonly logDir: string;
  readonly auditLog: string;
  readonly kubeconfig: string;
  readonly containerdSocket: string;
  readonly lock: string;
  readonly cgroup: string;
}

/** Unix sockets below the state folder must stay under 108 bytes, so names are short. */
const NAME = /^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$/;

export function clusterPaths(name: string, host: HostConfig): ClusterPaths {
  if (!NAME.test(name)) {
    throw new ClusterError(
      'BadName',
      `"${name}" can't name a cluster`,
      'use at most 30 of a-z, 0-9 and -, beginning and ending with a letter or digit',
    );
  }
  const stateDir = join(host.stateRoot, name);
  return {
    name,
    binDir: join(host.cacheDir, 'bin'),
    systemImagesDir: join(host.cacheDir, 'system-images'),
    stateDir,
    settings: join(stateDir, 'settings.json'),
    pidfile: join(stateDir, 'box.pid'),
    pkiDir: join(stateDir, 'pki'),
    configDir: join(stateDir, 'config'),
    logDir: join(stateDir, 'log'),
    auditLog: join(stateDir, 'audit', 'audit.log'),
    kubeconfig: join(stateDir, 'pki', 'host.kubeconfig'),
    containerdSocket: join(stateDir, 'run', 'containerd', 'containerd.sock'),
    lock: join(host.cacheDir, 'locks', `cluster-${name}`),
    cgroup: `local-kube-${name}`,
  };
}
