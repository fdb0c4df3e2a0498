// The operator's adapter to real nodes, against the admin server that they run.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FarmConfig } from '#node/interface/config.ts';
import { adminWrite, startAdminServer, type AdminServer } from '#node/admin/admin-server.ts';
import { createFarmConfigStore, type FarmConfigStore } from '#node/admin/farm-config-store.ts';
import { createRegistry } from '#node/interface/process-metrics.ts';
import { bridgeDesiredSchema, grantOrderSchema, ownerWordsSchema, type BridgeDesired } from '#node/interface/config.ts';
import { peerIdOf } from '#node/core/ids.ts';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { createHttpsNodes } from '#operator/node-https.ts';

const keyPair = (n: number) => keyPairFromSeed(new Uint8Array(32).fill(n));
const [control, own, stranger] = [keyPair(1), keyPair(2), keyPair(3)];
const config: FarmConfig = {
  farmUid: 'u',
  farmName: 'test',
  controlKey: control.publicKey,
  epoch: 1,
  generation: 5,
  redundancy: { required: 1, repair: 1, optimal: 1, total: 1 },
  roster: [],
  bridges: [],
  repairers: [],
  lostAfterMs: 1000,
  repairBytesPerSecond: 0,
};
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

let server: AdminServer;
let store: FarmConfigStore;
let status: object;
const taken: BridgeDesired[] = [];
let granted: string;

beforeEach(async () => {
  store = createFarmConfigStore(control.publicKey);
  taken.length = 0;
  status = {};
  granted = 'sj-grant/1:';
  server = await startAdminServer({
    keyPair: own,
    host: '127.0.0.1',
    port: 0,
    controlKey: control.publicKey,
    registry: createRegistry(),
    config: store,
    readiness: () => ({ ready: true, reason: '' }),
    status: () => status,
    writes: [
      adminWrite({ method: 'put', path: '/admin/buckets', schema: bridgeDesiredSchema, handle: (body) => void taken.push(body) }),
      adminWrite({
        method: 'post',
        path: '/admin/owners',
        schema: ownerWordsSchema,
        handle: () => ({ owner: stranger.publicKey }),
      }),
      adminWrite({
        method: 'post',
        path: '/admin/grants',
        schema: grantOrderSchema,
        handle: ({ bucketName }) => ({ grant: `${granted}${bucketName}`, issuedMs: 1, renewMs: 2 }),
      }),
    ],
    log: quiet,
  });
});
afterEach(async () => await server.close());

const address = (identity = own.publicKey) => ({ pod: 'demo-0', host: '127.0.0.1', identity });
const nodes = () => createHttpsNodes({ admin: server.port, pieces: server.port });
const soon = () => AbortSignal.timeout(10_000);

describe('nodes over HTTPS', () => {
  it('says who answers', async () => {
    expect(await nodes().firstContact({ pod: 'demo-0', host: '127.0.0.1' }, soon())).toEqual({
      farmer: own.publicKey,
      peerId: peerIdOf(own.publicKey),
    });
  });

  it('brings the configuration, and hears a refusal of an older one', async () => {
    await nodes().putConfig(address(), control, config, soon());
    expect(store.current()?.generation).toBe(5);
    await expect(nodes().putConfig(address(), control, { ...config, generation: 4 }, soon())).rejects.toMatchObject({
      code: 'Refused',
      status: 409,
    });
  });

  it('is refused without the control key', async () => {
    await expect(nodes().putConfig(address(), stranger, config, soon())).rejects.toMatchObject({ code: 'Refused' });
    expect(store.current()).toBeNull();
  });

  it('says nothing to another identity', async () => {
    const desired = { farmUid: 'u', epoch: 1, generation: 1, buckets: [], accessKeys: [] };
    await expect(nodes().putBuckets(address(stranger.publicKey), control, desired, soon())).rejects.toMatchObject({
      code: 'Unreachable',
    });
    expect(taken).toEqual([]);
    await nodes().putBuckets(address(), control, desired, soon());
    expect(taken).toEqual([desired]);
  });

  it('hands in words and hears whose they are', async () => {
    expect(await nodes().postOwner(address(), control, 'some words', soon())).toBe(stranger.publicKey);
  });

  it('asks for a grant, and takes nothing else for one', async () => {
    const order = { owner: stranger.publicKey, bucketName: 'photos', endOlder: false };
    const answer = await nodes().postGrant(address(), control, order, soon());
    expect(answer).toEqual({ grant: 'sj-grant/1:photos', issuedMs: 1, renewMs: 2 });
    granted = 'something else:';
    await expect(nodes().postGrant(address(), control, order, soon())).rejects.toMatchObject({ code: 'BadAnswer' });
  });

  it('takes no answer that is not what the contract says', async () => {
    status = { role: 'farmer' };
    await expect(nodes().farmerStatus(address(), control, soon())).rejects.toMatchObject({ code: 'BadAnswer' });
    await expect(nodes().farmReport(address(), control, soon())).rejects.toMatchObject({ code: 'Refused', status: 404 });
  });

  it('nobody there is an error, not a wait', async () => {
    const { port } = server;
    await server.close();
    const away = createHttpsNodes({ admin: port, pieces: port });
    await expect(away.firstContact({ pod: 'demo-0', host: '127.0.0.1' }, soon())).rejects.toMatchObject({ code: 'Unreachable' });
    await expect(away.bridgeStatus(address(), control, soon())).rejects.toMatchObject({ code: 'Unreachable' });
  });
});
