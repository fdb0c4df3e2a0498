// What is sent to the cluster, in full: golden YAML. A change here is a change of pods that run somewhere.
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { StorjFarm } from '#operator/api.ts';
import type { Plan } from '#operator/farm/plan.ts';
import type { TlsFact } from '#operator/farm/tls.ts';
import type { Build } from '#operator/farm/desired/common.ts';
import type { KubeObject, StatefulSet } from '#operator/kube/resources.ts';
import { apiVersion } from '#operator/api.ts';
import { desiredObjects } from '#operator/farm/desired/index.ts';
import { keySecret } from '#operator/farm/desired/key-secret.ts';
import { volumeClaim } from '#operator/farm/desired/volume-claim.ts';
import { atRest } from '#operator/farm/rollout.ts';
import { withDefaults } from '#test/support/crd-defaults.ts';

function build(spec: object, more: Partial<Build> = {}): Build {
  const farm = withDefaults({ apiVersion, kind: 'StorjFarm', metadata: { name: 'demo' }, spec } as never) as StorjFarm;
  return {
    farm: { name: 'demo', namespace: 'farm', uid: 'farm-uid', spec: farm.spec },
    installId: 'ops/storj',
    operatorNamespace: 'ops',
    image: 'localhost/storj-node:1',
    controlKey: 'c'.repeat(64),
    ...more,
  };
}

const zone = (name: string, replicas: number, nodeSelector: Record<string, string> = {}) => ({
  zone: name,
  replicas,
  partition: atRest,
  nodeSelector,
});
const plan = (more: Partial<Plan>) => ({ budget: 2, zones: [zone('main', 6)], ...more }) as Plan;

const simple = build({ farmers: { replicas: 6, storage: { size: '100Gi' } } });
const full = build({
  imagePullPolicy: 'Always',
  imagePullSecrets: [{ name: 'pull' }],
  farmers: {
    replicas: 2,
    zones: [{ name: 'a', nodeSelector: { zone: 'a' } }],
    storage: { size: '1Ti', storageClassName: 'fast', accessMode: 'ReadWriteOncePod' },
    resources: { requests: { cpu: 1 }, limits: { memory: '1Gi' } },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'storage', operator: 'Exists' }],
    topologySpreadConstraints: [{ topologyKey: 'rack', maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' }],
    priorityClassName: 'high',
  },
  bridge: {
    catalog: { storage: { size: '20Gi' } },
    service: { type: 'NodePort', nodePort: 30900 },
    tls: { secretRef: { name: 's3-tls' } },
  },
  repair: { replicas: 2 },
  allowedBuckets: { from: 'Selector', selector: { team: 'media' } },
});

const off: TlsFact = { state: 'Off' };
const objects = (from: Build, what: Plan, tls: TlsFact = off): KubeObject[] =>
  desiredObjects(from, what, { children: new Map(), tls }).map(({ object }) => object);
const yaml = (all: object[]): string =>
  all.map((one) => stringify(one, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n');

describe('the objects of a farm', () => {
  it('the simplest one', async () => {
    await expect(yaml(objects(simple, plan({})))).toMatchFileSnapshot('golden/farm.yaml');
  });

  it('one with everything', async () => {
    const what = plan({ zones: [zone('a', 2, { disk: 'ssd', zone: 'a' })], budget: 0 });
    const tls: TlsFact = { state: 'On', secretName: 's3-tls', ca: '' };
    await expect(yaml(objects(full, what, tls))).toMatchFileSnapshot('golden/farm-with-everything.yaml');
  });

  it('volumes and keys have no owner, so they stay', async () => {
    const wish = {
      name: 'data-demo-farmer-main-0',
      zone: 'main',
      ordinal: 0,
      size: '100Gi',
      storageClassName: undefined,
      accessMode: 'ReadWriteOnce',
    };
    const key = { publicKey: 'a'.repeat(64), seed: new Uint8Array(32) };
    const kept = [volumeClaim(simple, wish), keySecret({ name: 'demo', namespace: 'farm' }, 'control', key)];
    for (const { metadata } of kept) expect(metadata.ownerReferences).toBeUndefined();
    await expect(yaml(kept)).toMatchFileSnapshot('golden/retained.yaml');
  });
});

describe('templates', () => {
  const templates = (from: Build) =>
    objects(from, plan({})).flatMap((one) =>
      'template' in ((one as StatefulSet).spec ?? {}) ? [(one as StatefulSet).spec!.template] : [],
    );

  it('another operator, install or roster restarts nothing', () => {
    expect(templates({ ...simple, installId: 'other/install', operatorNamespace: 'elsewhere' })).toEqual(templates(simple));
  });

  it('live fields restart nothing', () => {
    const { spec } = simple.farm;
    const changed = {
      ...spec,
      farmers: {
        ...spec.farmers,
        replicas: 9,
        storage: { ...spec.farmers.storage, size: '200Gi', whenScaledDown: 'Delete' as const },
      },
      redundancy: { required: 1, repair: 1, optimal: 1, total: 1 },
      repair: { ...spec.repair, lostAfter: '1h', bandwidthBytesPerSecond: 5 },
      allowedBuckets: { from: 'All' as const },
      bridge: { ...spec.bridge, service: { type: 'NodePort' as const } },
    };
    expect(templates({ ...simple, farm: { ...simple.farm, spec: changed } })).toEqual(templates(simple));
  });

  it('run restricted, without tokens', () => {
    for (const { spec } of templates(full)) {
      expect(spec?.automountServiceAccountToken).toBe(false);
      expect(spec?.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      for (const container of spec?.containers ?? []) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
      }
    }
  });
});
