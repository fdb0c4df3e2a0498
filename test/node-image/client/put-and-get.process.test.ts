// The same over real sockets: TLS, backpressure, connections that break in the middle.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type Client } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import { getRange } from '#node/client/segment-reader.ts';
import { putSegments } from '#node/client/segment-writer.ts';
import { httpsNetwork, servePieces, type PieceServer } from '#node/net/https-pieces.ts';
import type { Network } from '#node/net/net.ts';
import { tlsIdentity } from '#node/net/tls-identity.ts';
import { memoryFarm, type MemoryFarm } from '#test/support/memory-farmer.ts';
import { chunked, readAll, seededBytes } from './support/test-farm.ts';

const owner = 'ab'.repeat(32);
const MIB = 1024 * 1024;
const signal = () => AbortSignal.timeout(60_000);
let farm: MemoryFarm;
let servers: Map<string, PieceServer>;
let network: Network;
let client: Client;

const serve = async (i: number, port = 0) => {
  const { keyPair, farmer } = farm.farmers[i]!;
  const options = { identity: await tlsIdentity(keyPair), service: farmer.service, host: '127.0.0.1', port };
  servers.set(keyPair.publicKey, await servePieces(options));
};
const kill = (farmer: string) => servers.get(farmer)!.close(AbortSignal.abort());

beforeAll(async () => {
  farm = await memoryFarm({ farmers: 6 });
  servers = new Map();
  await Promise.all(farm.farmers.map((_, i) => serve(i)));
  farm.change({ roster: farm.current().roster.map((member) => ({ ...member, url: servers.get(member.farmer)!.url })) });
  network = httpsNetwork({ identity: await tlsIdentity(farm.bridge) });
  client = createClient({ network, farm: settableFarmView(farmSnapshot(farm.current())), limits: { threads: 2 } });
});
afterAll(async () => {
  await client.close();
  await network.close();
  await Promise.all([...servers.values()].map((server) => server.close(AbortSignal.abort())));
  await farm.stop();
});

describe('over HTTPS', () => {
  it('a throttled read goes on while two farmers die, and so does a put', async () => {
    const bytes = seededBytes(24 * MIB, 31);
    const put = () => putSegments(client, { owner, source: chunked(bytes, 300_001), sizeBytes: bytes.length, signal: signal() });
    const stored = await put();
    const victims = stored.segments[0]!.placement.farmers.slice(0, 2).map((farmer) => farmer!);
    const read = getRange(client, { owner, segments: stored.segments, offset: 0, length: bytes.length, signal: signal() });
    let killed = 0;
    const got = await readAll(read, async (readBytes) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (killed < 2 && readBytes > (killed + 1) * 6 * MIB) await kill(victims[killed++]!);
    });
    expect(killed).toBe(2);
    expect(Buffer.compare(got, bytes)).toBe(0);

    const again = await put();
    expect(again.segments[0]!.placement.scheme.total).toBe(4);
    for (const victim of victims) {
      const i = farm.farmers.findIndex(({ keyPair }) => keyPair.publicKey === victim);
      await serve(i, servers.get(victim)!.port);
    }
    let isDead = false;
    const dying = chunked(bytes, 300_001, async (at) => {
      if (isDead || at < 12 * MIB) return;
      isDead = true;
      await kill(victims[0]!);
    });
    const third = await putSegments(client, { owner, source: dying, sizeBytes: bytes.length, signal: signal() });
    expect(third.segments[0]!.placement.farmers).not.toContain(victims[0]);
    const back = getRange(client, { owner, segments: third.segments, offset: 0, length: bytes.length, signal: signal() });
    expect(Buffer.compare(await readAll(back), bytes)).toBe(0);
    expect([client.writeBudget.usedBytes, client.readBudget.usedBytes]).toEqual([0, 0]);
  });
});
