// Devices that write beside the bridge, straight at the farmers: with a role that the owner signed, or with a grant
// that is taken back one day.
import { createHash } from 'node:crypto';
import { roleStatement } from '#node/client/account.ts';
import { createMemoryCatalog } from '#node/catalog/memory-catalog.ts';
import type { Catalog } from '#node/catalog/catalog.ts';
import { createClient } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import { grantNetwork } from '#node/client/grant-network.ts';
import { holderOf, issueGrant, openGrant } from '#node/client/grants.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { revokeGrants } from '#node/client/revoke-grants.ts';
import { passingState } from '#node/device/device-state.ts';
import type { Bucket } from '#node/device/bucket.ts';
import { storjOn, type Storj } from '#node/device/storj.ts';
import { StorjError } from '#node/device/storj-error.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { KEYS, sizeOf } from './clients.ts';
import { contentOf, MIN_BODY_BYTES, type Write } from './model.ts';
import { Process } from './virtual-time.ts';
import { BridgeDied, BUCKET_NAME, living, simKey, SimSavedLogs, Violation, type World } from './world.ts';

const LIMIT_MS = 60_000;
const DAY_MS = 24 * 3_600_000;

export interface DeviceHome {
  readonly name: string;
  readonly process: Process;
  readonly storj: Storj;
  readonly kept: DeviceKept;
  readonly died: Promise<never>;
  /** Once it was found. */
  bucket: Bucket | null;
}
/** What outlives its process. */
interface DeviceKept {
  /** The text of the grant under which it writes; null = it has a role. */
  grant: string | null;
  saved: SimSavedLogs;
  catalog: Catalog;
  /** Of the keys that its grant lets it write; it tries others, too. */
  prefix: string;
  /** Of its grant. */
  expiresMs: number;
  /** The grant is taken back: what it begins to write from now on counts for nobody. */
  isRevoked: boolean;
}

const deviceKey = () => simKey('device');

/** A farm as somebody with the words reaches it. */
export function ownersClient(world: World) {
  const process = new Process('the owner', world.time, world.dice);
  const network = world.net.of(process, world.owner.keyPair.publicKey);
  const farm = farmSnapshot(world.current());
  const client = createClient({ network, farm: settableFarmView(farm), runtime: process.runtime, limits: { threads: 0 } });
  return { process, client, farm, signal: process.runtime.deadline(LIMIT_MS) };
}

/** One that was never here before, with a role. Rejects where the farmers don't answer. */
export async function startVisitor(world: World): Promise<DeviceHome> {
  const { owner } = world;
  const { client, signal } = ownersClient(world);
  const { statements: known } = await fetchRoots(client.link, owner.keyPair.publicKey, signal);
  const key = simKey('visitor');
  await publishRoots(client.link, { owner: owner.keyPair.publicKey, statements: [roleOf(world, key)], known, signal });
  const state = { saved: new SimSavedLogs(world), catalog: createMemoryCatalog() };
  return startDevice(
    world,
    { ...state, prefix: '', expiresMs: Infinity, isRevoked: false, grant: null },
    { name: 'visitor', key },
  );
}

function roleOf(world: World, { seed }: KeyPair) {
  const { owner, director } = world;
  const { nowMs, random } = director.runtime;
  return roleStatement({ owner, subject: holderOf(seed), role: 'writer', random32: random(32), issuedMs: nowMs() });
}

/** The owner gives this device what it needs. Rejects where the farmers don't answer. */
export async function allowDevice(world: World): Promise<DeviceKept> {
  const { owner, dice } = world;
  const { process, client, farm, signal } = ownersClient(world);
  const bucketId = world.bridge!.bridge.catalog.bucketsNamed(BUCKET_NAME)[0]!.bucketId;
  const { statements: known, view } = await fetchRoots(client.link, owner.keyPair.publicKey, signal);
  const holder = holderOf(deviceKey().seed);
  const nowMs = process.runtime.nowMs();
  const isNarrow = world.hasShares;
  const prefix = isNarrow ? `secret-name-${dice.between(1, 2)}` : '';
  const expiresMs = nowMs + (isNarrow ? dice.between(20_000, 150_000) : 29 * DAY_MS);
  const kept = { saved: new SimSavedLogs(world), catalog: createMemoryCatalog(), prefix, expiresMs, isRevoked: false };
  if (!isNarrow && dice.chance(0.5)) {
    await publishRoots(client.link, { owner: owner.keyPair.publicKey, statements: [roleOf(world, deviceKey())], known, signal });
    return { ...kept, expiresMs: Infinity, grant: null };
  }
  const access = { owner: owner.keyPair.publicKey, accountSecret: owner.accountSecret };
  const allow = isNarrow
    ? [{ verbs: ['read', 'list'] as const }, { verbs: ['write', 'delete'] as const, prefix }]
    : [{ verbs: ['read', 'list', 'write', 'delete'] as const }];
  const period = { notBeforeMs: nowMs - 300_000, expiresMs };
  const about = { access, view, farm, bucketId, bucketName: BUCKET_NAME, to: holder, allow, ...period };
  return { ...kept, grant: issueGrant({ issuer: owner.keyPair, ...about }, process.runtime) };
}

export function startDevice(world: World, kept: DeviceKept, { name = 'device', key = deviceKey() } = {}): DeviceHome {
  const process = world.process(name);
  const { owner } = world;
  const own = world.net.of(process, key.publicKey);
  const grant = kept.grant === null ? null : openGrant(kept.grant, key.seed);
  const network = grant ? grantNetwork(own, grant) : own;
  const farm = settableFarmView(farmSnapshot(world.current()));
  process.onKill(world.config.follow(null, (config) => farm.set(farmSnapshot(config))));
  kept.saved.process = process;
  const storj = storjOn({
    client: createClient({ network, farm, runtime: process.runtime, limits: { threads: 0 } }),
    access: grant?.access ?? { owner: owner.keyPair.publicKey, accountSecret: owner.accountSecret },
    writer: key,
    // What it may not write it tries: only what others make of it counts.
    ...(grant ? { allowed: { ...grant, prefix: '' } } : {}),
    ...passingState(),
    catalog: living(world, kept.catalog, process),
    saved: kept.saved,
    isPassing: false,
  });
  const died = new Promise<never>((_, reject) => process.onKill(() => reject(new BridgeDied())));
  died.catch(() => {});
  world.note(`${process.name} has started, with ${grant ? 'a grant' : 'a role'}`);
  return { name: process.name, process, storj, kept, died, bucket: null };
}

/** The owner takes its grant back. */
export async function revokeDevice(world: World, { kept, name }: DeviceHome): Promise<void> {
  if (kept.grant === null || kept.isRevoked) return;
  const { client, signal } = ownersClient(world);
  const bucketId = world.bridge?.bridge.catalog.bucketsNamed(BUCKET_NAME)[0]?.bucketId;
  if (!bucketId) return;
  const { keyPair } = world.owner;
  try {
    const order = { signer: keyPair, owner: keyPair.publicKey, bucketId, holder: deviceKey().publicKey, signal };
    await revokeGrants(client.link, order);
    kept.isRevoked = true;
    world.note(`the grant of ${name} is taken back`);
  } catch (error) {
    world.note(`the grant of ${name} can't be taken back: ${String(error)}`);
  }
}

/** A small object, whatever becomes of it. `asKnown`: without reading first what others have written. */
export async function putDirectly(
  world: World,
  home: DeviceHome,
  { key = `secret-name-${world.dice.between(1, KEYS)}`, asKnown = false } = {},
): Promise<void> {
  try {
    home.bucket ??= await Promise.race([home.storj.bucket(BUCKET_NAME), home.died]);
    await put(world, home, home.bucket, { key, sizeBytes: world.dice.between(MIN_BODY_BYTES, 300), asKnown });
  } catch (error) {
    if (!(error instanceof BridgeDied) && !(error instanceof StorjError)) throw error;
    world.note(`${home.name} can't reach ${key}: ${error.message}`);
  }
}

/** One call of a program on the device, by chance. */
export async function actDirectly(world: World, home: DeviceHome): Promise<void> {
  const { dice } = world;
  const key = `secret-name-${dice.between(1, KEYS)}`;
  const what = dice.share();
  try {
    const bucket = await Promise.race([home.storj.bucket(BUCKET_NAME), home.died]);
    // One that writes what nobody else sees reads its own story.
    if (what < 0.3 && home.kept.prefix === '') await read(world, home, bucket, key);
    else if (what < 0.5) await write(world, home, { key, kind: 'delete', sizeBytes: 0 }, () => bucket.remove(key));
    else await put(world, home, bucket, { key, sizeBytes: sizeOf(world), asKnown: false });
  } catch (error) {
    if (!(error instanceof BridgeDied) && !(error instanceof StorjError)) throw error;
    world.note(`${home.name} can't reach ${key}: ${error.message}`);
  }
}

async function put(
  world: World,
  home: DeviceHome,
  bucket: Bucket,
  { key, sizeBytes, asKnown }: { key: string; sizeBytes: number; asKnown: boolean },
): Promise<void> {
  await write(world, home, { key, kind: 'put', sizeBytes }, async (begun) => {
    const bytes = contentOf(begun);
    world.contents.set(createHash('md5').update(bytes).digest('hex'), begun.id);
    await bucket.put(key, bytes, { asKnown });
    return true;
  });
}

/** It sees whatever was acknowledged before, by whichever writer. */
async function read(world: World, home: DeviceHome, bucket: Bucket, key: string): Promise<void> {
  const startMs = world.time.nowMs;
  const counts = ({ ackMs }: Write) => ackMs !== null && ackMs < startMs;
  const found = await Promise.race([bytesOf(bucket, key), home.died]);
  world.note(`${home.name} reads ${key}: ${found ? Buffer.from(found.subarray(0, 6)).toString('latin1') : 'nothing'}`);
  const problem = world.model.problem(key, found, counts);
  if (problem) throw new Violation(`${home.name}: ${problem}`);
}

async function bytesOf(bucket: Bucket, key: string): Promise<Uint8Array | null> {
  try {
    const { body } = await bucket.get(key);
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk.slice());
    return new Uint8Array(Buffer.concat(chunks));
  } catch (error) {
    if (error instanceof StorjError && error.code === 'NoSuchKey') return null;
    throw error;
  }
}

async function write(
  world: World,
  { name, kept, died, process }: DeviceHome,
  what: Pick<Write, 'key' | 'kind' | 'sizeBytes'>,
  act: (begun: Write) => Promise<boolean>,
): Promise<void> {
  const hasEnded = () => process.runtime.nowMs() > kept.expiresMs;
  const isVoid = kept.isRevoked || hasEnded() || !what.key.startsWith(kept.prefix);
  const about = { startMs: world.time.nowMs, via: name, isDirect: true, isVoid };
  const begun = world.model.begin({ ...what, ...about });
  const told = `${name}: ${begun.kind} ${begun.id} of ${begun.key} (${begun.sizeBytes} bytes)`;
  world.note(`${told} begins`);
  try {
    const isReal = await Promise.race([act(begun), died]);
    // Stamped after the end it counts for nobody: what was under way then may be either.
    if (isReal && !begun.isVoid && !hasEnded()) begun.ackMs = world.time.nowMs;
    world.note(`${told} is ${isReal ? 'acknowledged' : 'nothing to do'}`);
  } catch (error) {
    if (!(error instanceof BridgeDied) && !(error instanceof StorjError)) throw error;
    world.note(`${told} failed: ${error.message}`);
  } finally {
    begun.endMs = world.time.nowMs;
  }
}
