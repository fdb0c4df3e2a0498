// The operator killed with SIGKILL after its k-th write to the API server, on a real node: what is there is
// taken up again, nothing twice, nothing left out. (Every k runs on the control plane, with stubbed nodes.)
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { apply, condition, farmUntil, healthy, installOperator, kubectl, ready, type Place } from '#infra/demo/farm-steps.ts';
import { writesOf } from '#test/support/audit-log.ts';
import {
  bucket,
  emptyNamespace,
  farm,
  installedOperator,
  RELEASE,
  SYSTEM,
  TEST_NAMESPACES,
  type Installed,
} from '#test/support/installed-operator.ts';

const OPERATOR_USER = `system:serviceaccount:${SYSTEM}:storj-storj-operator`;
let installed: Installed;
let place: Place;
let auditLog: string;

beforeAll(async () => {
  installed = await installedOperator('kill');
  place = installed.place('victim');
  if (!installed.cluster.local?.auditLogPath)
    throw new Error('needs the local cluster: the audit log and the node are only there');
  auditLog = installed.cluster.local.auditLogPath;
}, 1_800_000);

/** The one process of the operator, below the cluster's own cgroup. */
function operatorPid(): number | undefined {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const isOperator = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/app/operator.mjs');
      if (isOperator && readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes('local-kube-test')) return Number(pid);
    } catch {
      // ended while we looked
    }
  }
  return undefined;
}

const writes = () => writesOf(auditLog, OPERATOR_USER).filter((event) => event.objectRef?.namespace === 'kill');

describe.each([2, 9, 17])('SIGKILL after write %i', (k) => {
  it('converges to the same farm and bucket', async () => {
    await emptyNamespace(place);
    await sleep(1000);
    const before = writes().length;
    const killed = (async () => {
      const deadlineMs = Date.now() + 120_000;
      while (writes().length < before + k) {
        if (Date.now() > deadlineMs) throw new Error(`the operator wrote only ${writes().length - before} times`);
        await sleep(5);
      }
      const pid = operatorPid();
      if (pid === undefined) throw new Error('the operator runs nowhere');
      process.kill(pid, 'SIGKILL');
      return pid;
    })();
    await apply(place, farm(place, 3));
    await apply(place, bucket(place, 'photos'));
    const pid = await killed;
    const settled = await farmUntil(place, 'Ready', (one) => ready(one) && healthy(one) && one.status?.replicas === 3);
    await kubectl(place, ['wait', 'storjbucket/photos', '--for=condition=Ready', '--timeout=180s']);
    expect(operatorPid()).not.toBe(pid);
    expect(condition(settled, 'Stalled')?.status).not.toBe('True');
    const farmers = await kubectl(place, ['get', 'pods,pvc', '-l', 'app.kubernetes.io/component=farmer', '-o', 'name']);
    expect(farmers.trim().split('\n').sort()).toEqual([
      ...[0, 1, 2].map((ordinal) => `persistentvolumeclaim/data-victim-farmer-main-${ordinal}`),
      ...[0, 1, 2].map((ordinal) => `pod/victim-farmer-main-${ordinal}`),
    ]);
  });
});

describe('two replicas', () => {
  it('never act at once: one writes, and after its loss the other, with no write of the first in between', async () => {
    const { cluster } = installed;
    const install = { release: RELEASE, namespace: SYSTEM, image: cluster.image, watch: TEST_NAMESPACES };
    await installOperator(cluster, { ...install, set: ['replicaCount=2'] });
    await apply(place, farm(place, 3));
    await farmUntil(place, 'Ready', (one) => ready(one) && healthy(one));
    const before = writes().length;
    await kubectl(place, ['scale', 'storjfarm/victim', '--replicas=4']);
    await expect.poll(() => writes().length, { timeout: 60_000, interval: 20 }).toBeGreaterThan(before + 1);
    const holder = await cluster.kubectl([
      '-n',
      SYSTEM,
      'get',
      'lease',
      `${RELEASE}-storj-operator`,
      '-o',
      'jsonpath={.spec.holderIdentity}',
    ]);
    await cluster.kubectl(['-n', SYSTEM, 'delete', 'pod', holder.split('_')[0] ?? '', '--grace-period=0', '--force']);
    await farmUntil(place, 'Ready with 4', (one) => ready(one) && healthy(one) && one.status?.replicas === 4);
    const writers = writes()
      .slice(before)
      .map((event) => event.sourceIPs[0]);
    const turns = writers.filter((writer, index) => writer !== writers[index - 1]);
    expect(new Set(turns).size).toBe(2);
    expect(turns).toHaveLength(2);
    await installOperator(cluster, install);
  });
});
