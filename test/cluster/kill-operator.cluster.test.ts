// The operator killed with SIGKILL after its k-th write to the API server, on a real node: what is there is
// taken up again, nothing twice, nothing left out. (Every k runs on the control plane, with stubbed nodes.)
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { apply, condition, farmUntil, healthy, kubectl, ready, type Place } from '#infra/demo/farm-steps.ts';
import { writesOf } from '#test/support/audit-log.ts';
import { bucket, emptyNamespace, farm, installedOperator, SYSTEM, type Installed } from '#test/support/installed-operator.ts';

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
