// The control plane alone, as integration tests use it: up, found again, audited, kept, gone.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureCluster, findCluster, removeClusterNamed, type LocalCluster } from '#infra/local/local-cluster.ts';
import { leftovers, NOTHING } from './leftovers.ts';

const NAME = 'test-cp';
const CLI = join(import.meta.dirname, '../../../infra/local/cluster.ts');
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await ensureCluster({ name: NAME, mode: 'control-plane', audit: 'Metadata', fresh: true });
});
afterAll(async () => void (await removeClusterNamed(NAME)));

function cli(...args: string[]): { code: number; output: string } {
  try {
    return { code: 0, output: execFileSync(process.execPath, [CLI, ...args], { encoding: 'utf8', stdio: 'pipe' }) };
  } catch (error) {
    const failed = error as { status: number; stdout: string; stderr: string };
    return { code: failed.status, output: failed.stdout + failed.stderr };
  }
}

interface AuditEvent {
  verb: string;
  user: { username: string };
  objectRef?: { resource: string; name?: string };
}

function auditEvents(): AuditEvent[] {
  const lines = readFileSync(cluster.auditLogPath ?? '', 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as AuditEvent);
}

describe('the control plane', () => {
  it('answers, and a second start finds it with the settings it has', async () => {
    expect(await cluster.kubectl(['version'])).toContain('Server Version: v1.37');
    const [second, third] = await Promise.all([ensureCluster({ name: NAME }), ensureCluster({ name: NAME, port: cluster.port })]);
    expect([second.port, third.port]).toEqual([cluster.port, cluster.port]);
    expect(second.mode).toBe('control-plane');
    await expect(ensureCluster({ name: NAME, mode: 'node' })).rejects.toThrow(/mode is "control-plane", wanted "node"/);
  });

  it('has an audit log with every write, once, as soon as it is answered', async () => {
    const named = (event: AuditEvent) => event.user.username === 'admin' && event.objectRef?.name === 'audited';
    expect(auditEvents().filter(named)).toEqual([]);
    await cluster.kubectl(['create', 'configmap', 'audited']);
    await cluster.kubectl(['get', 'configmap', 'audited']);
    await cluster.kubectl(['delete', 'configmap', 'audited']);
    const verbs = auditEvents()
      .filter(named)
      .map(({ verb }) => verb);
    expect(verbs.filter((verb) => verb === 'create' || verb === 'delete')).toEqual(['create', 'delete']);
  });

  it('is shown by the command line', () => {
    expect(cli('status', '--name', NAME)).toMatchObject({
      code: 0,
      output: expect.stringContaining(`127.0.0.1:${cluster.port}`),
    });
    expect(cli('list').output.split('\n')).toContain(NAME);
    expect(cli('kubeconfig', '--name', NAME).output.trim()).toBe(cluster.kubeconfigPath);
    expect(cli('--name', NAME, 'kubectl', 'get', 'serviceaccount', 'default').code).toBe(0);
    expect(cli('--name', NAME, 'kubectl', 'get', 'serviceaccount', 'nobody').code).toBe(1);
    expect(cli('status', '--name', 'test-no-such')).toMatchObject({ code: 1, output: expect.stringContaining('is down') });
    expect(cli('kubeconfig', '--name', 'test-no-such')).toMatchObject({
      code: 1,
      output: expect.stringContaining('npm run cluster -- up --name test-no-such'),
    });
    expect(cli('sideways')).toMatchObject({ code: 64, output: expect.stringContaining('no such command') });
  });

  it('says so when a port is taken, and leaves nothing of the attempt running', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    try {
      await expect(ensureCluster({ name: 'test-taken', mode: 'control-plane', port })).rejects.toMatchObject({
        code: 'PortTaken',
      });
      expect(await findCluster('test-taken')).toBeUndefined();
    } finally {
      server.close();
      await removeClusterNamed('test-taken');
    }
  });

  it('says what its log says when a component cannot start', async () => {
    const broken = ensureCluster({
      name: 'test-broken',
      mode: 'control-plane',
      apiserverArgs: ['--no-such-flag'],
      readyTimeoutMs: 3_000,
    });
    await expect(broken).rejects.toThrow(/the API server is ready: not ready within 3 s[^]*unknown flag: --no-such-flag/);
    await removeClusterNamed('test-broken');
    expect(leftovers('test-broken')).toEqual(NOTHING);
  });

  it('comes back with its objects after a stop that kept the data, and leaves nothing after one that did not', async () => {
    await cluster.kubectl(['create', 'namespace', 'kept']);
    await cluster.down({ keepData: true });
    expect(await findCluster(NAME)).toBeUndefined();
    expect(leftovers(NAME)).toEqual({ ...NOTHING, stateFolders: 1 });

    expect(cli('up', '--name', NAME).code).toBe(0);
    const again = await ensureCluster({ name: NAME });
    expect([again.mode, again.port]).toEqual(['control-plane', cluster.port]);
    expect(again.auditLogPath).toBe(cluster.auditLogPath);
    expect(await again.kubectl(['get', 'namespace', 'kept', '-o', 'name'])).toBe('namespace/kept\n');
    expect(leftovers(NAME).processes).toBeGreaterThan(3);

    await again.down();
    expect(leftovers(NAME)).toEqual(NOTHING);
    expect(existsSync(again.kubeconfigPath)).toBe(false);
    await again.down(); // again is harmless
  });
});
