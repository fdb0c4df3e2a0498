// A farmer as a process, over HTTPS: killed in the middle of uploads, started twice, cordoned, ended.
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freePorts } from '#node/cli/free-port.ts';
import { nodeFlags } from '#node/interface/node-flags.ts';
import { writeAtomic } from '#node/cli/farm-folder.ts';
import { peerIdOf, toHex } from '#node/core/ids.ts';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { leafHashes, pieceRoot, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { defaultScheme } from '#node/core/schemes.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import { farmerStatusSchema } from '#node/interface/status.ts';
import { adminClient } from '#node/net/admin-client.ts';
import { firstContact } from '#node/net/first-contact.ts';
import { httpsNetwork } from '#node/net/https-pieces.ts';
import type { CallError, FarmerAddress, Network } from '#node/net/net.ts';
import { tlsIdentity } from '#node/net/tls-identity.ts';
import { encodeCallHead, pieceFooter, pieceRange } from '#node/wire/calls.ts';
import { collect, footerBytes, readFirstPart } from '#node/wire/framing.ts';
import { signStatement } from '#node/wire/statements.ts';

const MAIN = fileURLToPath(new URL('../../../node-image/main.ts', import.meta.url));
const owner = 'cd'.repeat(32);
const [control, bridge] = [0, 1].map(() => keyPairFromSeed(new Uint8Array(randomBytes(32)))) as [Key, Key];
type Key = ReturnType<typeof keyPairFromSeed>;

let folder: string;
let ports: { pieces: number; libp2p: number; admin: number };
let child: ChildProcess;
let network: Network;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'farmer-process-'));
  const [pieces, libp2p, admin] = await freePorts(3);
  ports = { pieces: pieces!, libp2p: libp2p!, admin: admin! };
  network = httpsNetwork({ identity: await tlsIdentity(bridge) });
  child = start();
});
afterEach(async () => {
  await network.close();
  await Promise.all(children.splice(0).map(async (one) => (one.kill('SIGKILL'), await exitOf(one))));
  rmSync(folder, { recursive: true, force: true });
});

function start(own = ports): ChildProcess {
  const one = spawn(process.execPath, [...nodeFlags('farmer'), MAIN, 'farmer'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      STORJ_DATA_DIR: join(folder, 'data'),
      STORJ_CONFIG_FILE: join(folder, 'farm.json'),
      STORJ_CONTROL_KEY: control.publicKey,
      STORJ_SLOT: 'farmer-0',
      STORJ_LISTEN_HOST: '127.0.0.1',
      STORJ_ANNOUNCE_HOST: '127.0.0.1',
      STORJ_PIECES_PORT: String(own.pieces),
      STORJ_LIBP2P_PORT: String(own.libp2p),
      STORJ_ADMIN_PORT: String(own.admin),
    },
  });
  children.push(one);
  return one;
}
const exitOf = (one: ChildProcess) =>
  one.exitCode !== null || one.signalCode !== null
    ? Promise.resolve(one.exitCode)
    : new Promise<number | null>((resolve) => one.once('exit', resolve));

/** The farmer's address as soon as it answers. */
async function met(): Promise<FarmerAddress> {
  const contact = () => firstContact({ host: '127.0.0.1', port: ports.pieces }, AbortSignal.timeout(2000)).catch(() => null);
  await expect.poll(contact, { timeout: 60_000 }).not.toBeNull();
  return { farmer: (await contact())!.publicKey, url: `https://127.0.0.1:${ports.pieces}` };
}
function configOf(farmer: string, generation: number, state: 'Active' | 'Leaving' = 'Active'): FarmConfig {
  const membership = signStatement(control, { kind: 'membership', farm: control.publicKey, farmer, issuedMs: 1 });
  return {
    farmUid: 'uid',
    farmName: 'test',
    controlKey: control.publicKey,
    epoch: 0,
    generation,
    redundancy: defaultScheme(1),
    roster: [
      {
        slot: 'farmer-0',
        farmer,
        peerId: peerIdOf(farmer),
        volumeUid: 'v',
        zone: 'main',
        domain: 'farmer-0',
        state,
        url: `https://127.0.0.1:${ports.pieces}`,
        multiaddr: `/ip4/127.0.0.1/tcp/${ports.libp2p}/p2p/${peerIdOf(farmer)}`,
        membership: Buffer.from(membership.bytes).toString('base64'),
      },
    ],
    bridges: [bridge.publicKey],
    repairers: [],
    lostAfterMs: 60_000,
    repairBytesPerSecond: 0,
  };
}
const admin = async (method: 'GET' | 'PUT', path: string, body?: unknown, key = control) =>
  await (
    await adminClient(key)
  ).call({ url: `https://127.0.0.1:${ports.admin}`, method, path, body, signal: AbortSignal.timeout(10_000) });
const status = async () => farmerStatusSchema.parse(await admin('GET', '/status'));

async function put(to: FarmerAddress, pieceId: string, piece: Uint8Array): Promise<void> {
  const root = pieceRoot(leafHashes(piece));
  const footer = { segmentRoot: toHex(segmentRoot([root])), index: 0, total: 1, path: rootPath([root], 0) };
  const body = (async function* () {
    for (let at = 0; at < piece.length; at += 65_536) yield piece.subarray(at, at + 65_536);
    yield footerBytes(pieceFooter.encode(footer));
  })();
  await network.call(
    to,
    { operation: 'piece.put', head: encodeCallHead('piece.put', { owner, pieceId }), body },
    AbortSignal.timeout(30_000),
  );
}
async function get(to: FarmerAddress, pieceId: string): Promise<Uint8Array> {
  const head = encodeCallHead('piece.get', { owner, pieceId, firstLeaf: 0, leafCount: 0 });
  const answer = await network.call(to, { operation: 'piece.get', head }, AbortSignal.timeout(30_000));
  const { rest } = await readFirstPart(answer.body!, pieceRange.maxBytes);
  return await collect(rest, 1 << 26);
}

it('has every acknowledged piece after SIGKILL in the middle of uploads, and is the same farmer', async () => {
  const to = await met();
  writeAtomic(join(folder, 'farm.json'), configOf(to.farmer, 1));
  await expect.poll(async () => (await status()).generation, { timeout: 20_000 }).toBe(1);
  const acknowledged = new Map<string, Uint8Array>();
  let refused = 0;
  const uploads = Array.from({ length: 8 }, async (_, worker) => {
    for (let i = 0; i < 40 && child.exitCode === null && child.signalCode === null; i++) {
      const [pieceId, piece] = [
        randomBytes(32).toString('hex'),
        new Uint8Array(randomBytes(worker < 4 ? 20_000 + i : 2_500_000 + i)),
      ];
      try {
        await put(to, pieceId, piece);
        acknowledged.set(pieceId, piece);
        if (acknowledged.size === 60) child.kill('SIGKILL');
      } catch (error) {
        refused += 1;
        expect((error as CallError).code).toBe('Unreachable');
      }
    }
  });
  await Promise.all(uploads);
  await exitOf(child);
  expect(refused).toBeGreaterThan(0);

  child = start();

  expect(await met()).toEqual(to);
  await expect.poll(async () => (await status()).generation, { timeout: 20_000 }).toBe(1);
  for (const [pieceId, piece] of acknowledged) expect(Buffer.compare(await get(to, pieceId), piece)).toBe(0);
  expect((await status()).pieces).toBeGreaterThanOrEqual(acknowledged.size);
});

it('runs once on a folder, keeps its key to itself, and says clearly why a second one ends', async () => {
  await met();
  const [pieces, libp2p, adminPort] = await freePorts(3);

  const second = start({ pieces: pieces!, libp2p: libp2p!, admin: adminPort! });
  let said = '';
  second.stderr!.on('data', (chunk: Buffer) => (said += chunk.toString()));

  expect(await exitOf(second)).toBe(1);
  expect(said).toContain('is in use by another process');
  expect(child.exitCode).toBeNull();
  expect(statSync(join(folder, 'data', 'identity.seed')).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(folder, 'data', 'identity.seed'), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
});

it('obeys the control key alone, cordons, comes back, and ends in order', async () => {
  const to = await met();
  const id = randomBytes(32).toString('hex');
  await expect(admin('PUT', '/admin/config', configOf(to.farmer, 1), bridge)).rejects.toMatchObject({
    code: 'Refused',
    status: 403,
  });
  await admin('PUT', '/admin/config', configOf(to.farmer, 2));
  await put(to, id, new Uint8Array(1000));

  await admin('PUT', '/admin/config', configOf(to.farmer, 3, 'Leaving'));

  await expect(put(to, randomBytes(32).toString('hex'), new Uint8Array(5))).rejects.toMatchObject({ code: 'Leaving' });
  expect(await get(to, id)).toHaveLength(1000);
  const leaving = await status();
  expect(leaving).toMatchObject({ generation: 3, ready: true, pieces: 1, transfersInFlight: 0 });
  expect(leaving.cordonedMs).toBeGreaterThanOrEqual(leaving.lastTransferMs);
  await expect(admin('PUT', '/admin/config', configOf(to.farmer, 2))).rejects.toMatchObject({ status: 409 });
  await admin('PUT', '/admin/config', configOf(to.farmer, 4));
  await put(to, randomBytes(32).toString('hex'), new Uint8Array(5));
  expect((await status()).cordonedMs).toBeNull();

  child.kill('SIGTERM');

  expect(await exitOf(child)).toBe(0);
});
