// HTTPS for S3: which Secrets can be served, and what the farm and its buckets make of them.
import { describe, expect, it } from 'vitest';
import type { StorjFarmSpecInput } from '#crds/types.ts';
import type { Live, Secret, StatefulSet } from '#operator/kube/resources.ts';
import { endpointOf, judgeTls } from '#operator/farm/tls.ts';
import { secrets, statefulSets } from '#operator/kube/resources.ts';
import { createFarmWorld, namespace } from '#test/support/farm-world.ts';
import { testAuthority, testCertificates } from '#test/support/tls-fixture.ts';

const { one, two } = testCertificates;
const dataOf = (text: Record<string, string>) =>
  Object.fromEntries(Object.entries(text).map(([field, value]) => [field, Buffer.from(value).toString('base64')]));
const place = { namespace: 'farm', name: 's3-tls', address: '10.96.0.12' };
const judge = (text: Record<string, string>, address = place.address) =>
  judgeTls({ data: dataOf(text) } as unknown as Live<Secret>, { ...place, address });

describe('a TLS Secret', () => {
  it('with a pair that fits and names the address can be served', () => {
    expect(judge({ 'tls.crt': one.cert, 'tls.key': one.key })).toEqual({ state: 'On', secretName: 's3-tls', ca: '' });
    expect(judge({ 'tls.crt': one.cert, 'tls.key': one.key, 'ca.crt': testAuthority })).toMatchObject({ ca: testAuthority });
    // Before there is a Service its address can't be checked.
    expect(judge({ 'tls.crt': one.cert, 'tls.key': one.key }, '')).toMatchObject({ state: 'On' });
  });

  it('is broken otherwise, and says what to do', () => {
    const messageOf = (fact: ReturnType<typeof judgeTls>) => (fact.state === 'Broken' ? fact.message : '');
    expect(messageOf(judgeTls(undefined, place))).toBe(
      "spec.bridge.tls: the Secret s3-tls isn't there, so the bridge stays as it is. Make it: kubectl -n farm create secret tls s3-tls --cert=FILE --key=FILE, or remove spec.bridge.tls.",
    );
    expect(messageOf(judge({}))).toContain('no certificate and key');
    expect(messageOf(judge({ 'tls.crt': one.cert, 'tls.key': 'nonsense' }))).toContain('no certificate and key');
    expect(messageOf(judge({ 'tls.crt': one.cert, 'tls.key': two.key }))).toContain('not the one of its tls.crt');
    expect(messageOf(judge({ 'tls.crt': one.cert, 'tls.key': one.key }, '10.96.9.9'))).toContain('IP:10.96.9.9 among');
  });

  it('decides the endpoint; what is broken is served as before', () => {
    const farm = (s3?: string) => ({ status: s3 === undefined ? {} : { endpoints: { s3 } } }) as never;
    const broken = { state: 'Broken', message: '' } as const;
    expect(endpointOf(farm(), { state: 'Off' }, '10.0.0.1')).toBe('http://10.0.0.1:9000');
    expect(endpointOf(farm(), { state: 'On', secretName: 'x', ca: '' }, 'fd00::1')).toBe('https://[fd00::1]:9000');
    expect(endpointOf(farm('https://10.0.0.1:9000'), broken, '10.0.0.1')).toBe('https://10.0.0.1:9000');
    expect(endpointOf(farm('http://10.0.0.1:9000'), broken, '10.0.0.1')).toBe('http://10.0.0.1:9000');
  });
});

describe('a farm with spec.bridge.tls', () => {
  const spec = {
    farmers: { replicas: 3, storage: { size: '1Gi' } },
    bridge: { tls: { secretRef: { name: 's3-tls' } } },
  } as StorjFarmSpecInput;
  const ref = { namespace, name: 's3-tls' };

  it('serves HTTPS, tells its buckets the authority, and takes both back', async () => {
    const world = createFarmWorld();
    const operator = world.startOperator();
    const data = dataOf({ 'tls.crt': one.cert, 'tls.key': one.key, 'ca.crt': testAuthority });
    await world.kube.create(secrets, { apiVersion: 'v1', kind: 'Secret', metadata: ref, data });
    await world.createFarm(spec);
    await world.createBucket('photos', { farmRef: { name: 'demo' } });
    await world.settle(operator);
    const credentials = () => {
      const { data: fields = {} } = world.kube.peek<Secret>(secrets, { namespace, name: 'photos-s3' })!;
      return (field: string) => (fields[field] === undefined ? undefined : Buffer.from(fields[field], 'base64').toString());
    };
    expect(world.farm().status?.endpoints?.s3).toMatch(/^https:/);
    expect(world.bucket('photos').status?.endpoint).toMatch(/^https:/);
    expect(credentials()('AWS_ENDPOINT_URL_S3')).toMatch(/^https:/);
    expect(credentials()('CA_CRT')).toBe(testAuthority);
    expect(world.bucketCondition('Ready', 'photos')?.status).toBe('True');

    // The Secret goes: everything stays as it is, and says so.
    await world.kube.delete(secrets, ref);
    await world.settle(operator);
    expect(world.condition('Stalled')).toMatchObject({ reason: 'TlsSecretBroken' });
    expect(world.farm().status?.endpoints?.s3).toMatch(/^https:/);
    expect(credentials()('CA_CRT')).toBe(testAuthority);
    const bridge = world.kube.peek<StatefulSet>(statefulSets, { namespace, name: 'demo-bridge' })!;
    expect(JSON.stringify(bridge.spec)).toContain('STORJ_S3_TLS_DIR');

    await world.patchFarm({ spec: { bridge: { tls: null } } });
    await world.settle(operator);
    expect(world.condition('Stalled')).toBeUndefined();
    expect(world.farm().status?.endpoints?.s3).toMatch(/^http:/);
    expect([credentials()('AWS_ENDPOINT_URL_S3')?.slice(0, 5), credentials()('CA_CRT')]).toEqual(['http:', undefined]);
  });

  it('waits for its Secret before there is a bridge', async () => {
    const world = createFarmWorld();
    const operator = world.startOperator();
    await world.createFarm(spec);
    await world.settle(operator);
    expect(world.condition('Stalled')?.message).toContain('kubectl -n farm create secret tls s3-tls');
    expect(world.kube.peek(statefulSets, { namespace, name: 'demo-bridge' })).toBeUndefined();
    const data = dataOf({ 'tls.crt': one.cert, 'tls.key': one.key });
    await world.kube.create(secrets, { apiVersion: 'v1', kind: 'Secret', metadata: ref, data });
    await world.settle(operator);
    expect(world.condition('Ready')?.status).toBe('True');
  });
});
