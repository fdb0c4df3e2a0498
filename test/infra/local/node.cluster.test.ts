// The whole local cluster, under a name and port of its own: pods, volumes that grow, DNS, Services,
// NetworkPolicy, no way out, and nothing left afterwards.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureCluster, removeClusterNamed, type LocalCluster } from '#infra/local/local-cluster.ts';
import { buildProductImage } from '#node/image.ts';
import { leftovers, NOTHING } from './leftovers.ts';

const NAME = 'test-node';
const NODE_PORT = 30911;
const SPACE = 'probe';
const MIB = 1 << 20;
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await ensureCluster({ name: NAME, forwards: [String(NODE_PORT)], fresh: true });
  const image = await buildProductImage({ entries: { node: 'test/infra/local/probe-server.ts' } });
  await cluster.loadImage(image);
  await cluster.loadImage(image); // again is harmless
  await apply(manifests(image.name));
  await cluster.kubectl(['-n', SPACE, 'rollout', 'status', 'statefulset/probe', '--timeout=90s']);
});
afterAll(async () => void (await removeClusterNamed(NAME)));

async function apply(objects: object[]): Promise<void> {
  await cluster.kubectl(['apply', '--server-side', '-f', '-'], {
    input: objects.map((object) => JSON.stringify(object)).join('\n---\n'),
  });
}

/** What pod number `ordinal` answers, asked from the node, which no NetworkPolicy filters. */
async function ask(ordinal: number, path: string): Promise<unknown> {
  const { stdout } = await cluster.enter([
    'curl',
    '-sS',
    '--fail',
    '--max-time',
    '20',
    `http://${await podIp(ordinal)}:8080${path}`,
  ]);
  return JSON.parse(stdout);
}

async function podIp(ordinal: number): Promise<string> {
  return await cluster.kubectl(['-n', SPACE, 'get', 'pod', `probe-${ordinal}`, '-o', 'jsonpath={.status.podIP}']);
}

/** Asks until the answer is the wanted one; a rule takes a moment to be in force. */
async function eventually(question: () => Promise<unknown>, wanted: unknown): Promise<void> {
  let last: unknown;
  for (const end = performance.now() + 30_000; performance.now() < end; await sleep(200)) {
    last = await question();
    if (JSON.stringify(last) === JSON.stringify(wanted)) return;
  }
  expect(last).toEqual(wanted);
}

describe('the cluster', () => {
  it('runs pods with restricted Pod Security, as another user, on a root that they cannot write', async () => {
    expect(await ask(0, '/')).toEqual({ host: 'probe-0', uid: 65532 });
    expect(await ask(0, '/root')).toBe('EROFS');
    const again = await ensureCluster({ name: NAME, mode: 'node', port: cluster.port, forwards: [String(NODE_PORT)] });
    expect(await again.kubectl(['get', 'nodes', '-o', 'name'])).toBe('node/node\n');
    expect(await again.helm(['version', '--short'])).toMatch(/^v4\./);
  });

  it('is reached from this machine through a forwarded NodePort', async () => {
    // The pods are ready before kube-proxy has the Service's rules: until then a connection is closed at once.
    const answer = async () => {
      const response = await fetch(`http://127.0.0.1:${NODE_PORT}/`, { signal: AbortSignal.timeout(5000) }).catch(() => null);
      return response ? ((await response.json()) as { uid: number }).uid : 'nobody answers';
    };
    await eventually(answer, 65532);
  });

  it('has names for Services and pods, and for nothing outside', async () => {
    expect(await ask(0, '/dns?name=probe-1.probe.probe.svc.cluster.local')).toEqual([await podIp(1)]);
    const service = await cluster.kubectl(['-n', SPACE, 'get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}']);
    expect(await ask(0, '/dns?name=web')).toEqual([service]);
    expect(await ask(0, '/connect?host=web&port=80')).toBe('open');
    expect(await ask(0, '/dns?name=example.com')).toBe('ENOTFOUND');
  });

  it('has no way out: not to the world, not to this machine', async () => {
    const routes = JSON.parse((await cluster.enter(['ip', '-j', 'route'])).stdout) as { dst: string; dev: string }[];
    expect(routes.filter(({ dst, dev }) => dst === 'default' || !/^(lo|veth\w+)$/.test(dev))).toEqual([]);
    const links = JSON.parse((await cluster.enter(['ip', '-j', 'link'])).stdout) as { ifname: string; link_netnsid?: number }[];
    expect(links.filter(({ ifname, link_netnsid }) => ifname !== 'lo' && link_netnsid === undefined)).toEqual([]);

    const server = createServer().listen(0, '0.0.0.0');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const ours = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    const targets = ours
      .filter(({ family, internal }) => family === 'IPv4' && !internal)
      .map((one) => `host=${one.address}&port=${port}`);
    try {
      expect(targets).not.toEqual([]);
      for (const target of [...targets, 'host=1.1.1.1&port=443']) {
        // The kernel says so only a few times a second; the rest is silence.
        expect(['ENETUNREACH', 'TIMEOUT']).toContain(await ask(0, `/connect?${target}`));
      }
      // The node's own loopback is the box's, not this machine's.
      const { stdout } = await cluster.enter(['sh', '-c', `curl -s http://127.0.0.1:${port} || echo refused`]);
      expect(stdout.trim()).toBe('refused');
    } finally {
      server.close();
    }
  });

  it('gives volumes their size, and grows them while they are in use', async () => {
    const before = (await ask(0, '/disk')) as { sizeBytes: number; starts: number };
    expect(before.sizeBytes).toBeGreaterThan(32 * MIB);
    expect(before.sizeBytes).toBeLessThanOrEqual(64 * MIB);
    expect(await ask(0, '/fill')).toBe('ENOSPC');
    const patch = JSON.stringify({ spec: { resources: { requests: { storage: '192Mi' } } } });
    await cluster.kubectl(['-n', SPACE, 'patch', 'pvc', 'data-probe-0', '--type=merge', '-p', patch]);
    await eventually(async () => ((await ask(0, '/disk')) as { sizeBytes: number }).sizeBytes > 150 * MIB, true);
    expect(await ask(0, '/disk')).toMatchObject({ starts: before.starts });
    expect((await ask(1, '/disk')) as object).toMatchObject({ sizeBytes: before.sizeBytes });
  });

  it('keeps a volume when its pod goes, and drops it with its claim', async () => {
    await cluster.kubectl(['-n', SPACE, 'delete', 'pod', 'probe-1']);
    await cluster.kubectl(['-n', SPACE, 'rollout', 'status', 'statefulset/probe', '--timeout=90s']);
    expect(await ask(1, '/disk')).toMatchObject({ starts: 2 });
    const volumes = async () => (await cluster.kubectl(['get', 'pv', '-o', 'name'])).trim().split('\n').length;
    expect(await volumes()).toBe(2);
    await cluster.kubectl(['-n', SPACE, 'delete', 'pvc', 'data-probe-1', '--wait=false']);
    await cluster.kubectl(['-n', SPACE, 'delete', 'pod', 'probe-1']);
    await eventually(volumes, 2); // the old one goes, the StatefulSet's new claim makes another
    await cluster.kubectl(['-n', SPACE, 'rollout', 'status', 'statefulset/probe', '--timeout=90s']);
    expect(await ask(1, '/disk')).toMatchObject({ starts: 1 });
  });

  it('enforces NetworkPolicy in both directions, and lifts it', async () => {
    const reach = async (from: number, to: number) => await ask(from, `/connect?host=${await podIp(to)}&port=8080`);
    expect(await reach(0, 1)).toBe('open');
    expect(await reach(1, 0)).toBe('open');
    const only0 = { podSelector: { matchLabels: { 'statefulset.kubernetes.io/pod-name': 'probe-0' } } };
    await apply([
      policy('only-from-0', {
        policyTypes: ['Ingress'],
        podSelector: { matchLabels: { app: 'probe' } },
        ingress: [{ from: [only0], ports: [{ port: 'http' }] }],
      }),
    ]);
    await eventually(() => reach(1, 0), 'TIMEOUT');
    expect(await reach(0, 1)).toBe('open');
    await apply([policy('none-out', { policyTypes: ['Egress'], podSelector: only0.podSelector })]);
    await eventually(() => reach(0, 1), 'TIMEOUT');
    await cluster.kubectl(['-n', SPACE, 'delete', 'networkpolicy', '--all']);
    await eventually(() => reach(0, 1), 'open');
    await eventually(() => reach(1, 0), 'open');
  });

  it('ends a program of this machine inside it when its command is killed', async () => {
    const before = leftovers(NAME).processes;
    const { command, args } = cluster.insideCommand(['sh', '-c', 'echo inside; exec sleep 300']);
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const sleeping = async () =>
      (await cluster.enter(['sh', '-c', 'ps -e -o args= | grep -c "^sleep 300$" || true'])).stdout.trim();
    expect(await sleeping()).toBe('1');
    child.kill('SIGTERM');
    await eventually(sleeping, '0');
    expect(leftovers(NAME).processes).toBeLessThanOrEqual(before + 2);
  });

  it('leaves nothing when it goes', async () => {
    const up = leftovers(NAME);
    expect(up.processes).toBeGreaterThan(10);
    expect(up.loopDevices).toBe(2);
    expect(up.mounts).toBeGreaterThan(0);
    expect(up.cgroups).toBeGreaterThan(0);
    await cluster.down();
    await eventually(async () => leftovers(NAME), NOTHING);
    await expect(fetch(`http://127.0.0.1:${NODE_PORT}/`)).rejects.toThrow();
  });
});

function policy(name: string, spec: object): object {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace: SPACE }, spec };
}

function manifests(image: string): object[] {
  const metadata = (name: string) => ({ name, namespace: SPACE });
  const selector = { app: 'probe' };
  const container = {
    name: 'probe',
    image,
    imagePullPolicy: 'Never',
    args: ['/app/node.mjs'],
    ports: [{ name: 'http', containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
    volumeMounts: [{ name: 'data', mountPath: '/data' }],
    securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
  };
  const template = {
    metadata: { labels: selector },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 5,
      securityContext: { runAsNonRoot: true, fsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [container],
    },
  };
  const claim = {
    metadata: { name: 'data' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '64Mi' } } },
  };
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: SPACE, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadata('probe'),
      spec: { clusterIP: 'None', selector, ports: [{ port: 8080 }] },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadata('web'),
      spec: { type: 'NodePort', selector, ports: [{ port: 80, targetPort: 'http', nodePort: NODE_PORT }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: metadata('probe'),
      spec: {
        serviceName: 'probe',
        replicas: 2,
        podManagementPolicy: 'Parallel',
        selector: { matchLabels: selector },
        template,
        volumeClaimTemplates: [claim],
      },
    },
  ];
}
