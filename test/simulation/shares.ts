// A share: an app reads what lies below a prefix, by a grant that ends. The bridge keeps it up to date, and now and
// then the owner's own machine does.
import { ObjectsError } from '#node/bridge/objects.ts';
import { bucketKeys, openBucket } from '#node/client/account.ts';
import { createClient, type Client } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import { grantNetwork } from '#node/client/grant-network.ts';
import { holderOf, openGrant } from '#node/client/grants.ts';
import { GetError } from '#node/client/segment-reader.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { passingState } from '#node/device/device-state.ts';
import { permissionsOf } from '#node/device/permissions.ts';
import { StorjError } from '#node/device/storj-error.ts';
import { storjOn } from '#node/device/storj.ts';
import { LogError } from '#node/log/log-link.ts';
import { readBatches, readHeads } from '#node/log/log-reader.ts';
import { CallError, type Network } from '#node/net/net.ts';
import type { BucketId, PutEntry } from '#node/wire/types.ts';
import { insist } from './checks.ts';
import { ownersClient } from './devices.ts';
import type { Write } from './model.ts';
import { checkNarrow } from './refusals.ts';
import { Process } from './virtual-time.ts';
import { BridgeDied, BUCKET_NAME, living, simKey, SimSavedLogs, Violation, type World } from './world.ts';

/** Half of all shares show everything but what is written last. */
const PREFIXES = ['secret-name-1', 'secret-name-2', 'secret-name-', 'secret-name-'];
export const LIMIT_MS = 60_000;
/** A grant for whoever has to see it all, whatever the farmers' clocks say. */
const PATIENT_MS = 900_000;
/** No clock is off by more. */
export const MAX_SKEW_MS = 125_000;

export interface ShareHome {
  readonly shareId: BucketId;
  readonly bucketId: BucketId;
  readonly prefix: string;
  grant: string;
  /** Asked to end, it may be read or not until enough farmers have heard of it. */
  isEnding: boolean;
  isEnded: boolean;
}

export const appKey = () => simKey('app');

/** The owner as he gives and takes permissions. */
export function owners(world: World) {
  const { client, signal } = ownersClient(world);
  const { keyPair, accountSecret } = world.owner;
  const access = { owner: keyPair.publicKey, accountSecret };
  return { client, signal, access, permissions: permissionsOf({ client, access, signer: keyPair, limit: () => signal }) };
}

/** Rejects where the farmers don't answer. */
async function makeShare(world: World): Promise<ShareHome | null> {
  const { dice } = world;
  const bucketId = world.bridge?.bridge.catalog.bucketsNamed(BUCKET_NAME)[0]?.bucketId;
  if (!bucketId) return null;
  const prefix = dice.pick(PREFIXES);
  const order = { bucketId, name: 'shown', prefix, to: holderOf(appKey().seed), forMs: dice.between(30_000, 200_000) };
  const { shareId, grant } = await owners(world).permissions.share(order);
  world.note(`the share of ${prefix} is made`);
  return { shareId, bucketId, prefix, grant, isEnding: false, isEnded: false };
}

async function renewGrant(world: World, share: ShareHome, forMs: number): Promise<void> {
  share.grant = await owners(world).permissions.renewShare({ shareId: share.shareId, forMs });
  world.note('the app gets another grant');
}

/** From now on nobody may read it. */
export async function endShare(world: World, share: ShareHome): Promise<void> {
  share.isEnding = true;
  await owners(world).permissions.endShare(share.shareId);
  share.isEnded = true;
  world.note('the share is ended');
}

/** `storj share feed`, with the words. */
async function feedWithWords(world: World): Promise<void> {
  const { client, access } = owners(world);
  const process = new Process('the words feed', world.time, world.dice);
  const saved = new SimSavedLogs(world);
  saved.process = process;
  const state = passingState();
  const writer = world.owner.keyPair;
  const storj = storjOn({ ...state, client, access, writer, saved, catalog: living(world, state.catalog, process) });
  try {
    await storj.feedShares();
    world.note('the shares are fed with the words');
  } finally {
    await storj.close();
  }
}

/** What the share's log was fed up to, if it has all that the bridge's catalog had. */
async function feedByBridge(world: World, { bucketId, shareId }: ShareHome): Promise<Counts | null> {
  const home = world.bridge;
  const owner = world.owner.keyPair.publicKey;
  if (!home?.bridge.writers.isReady(owner, bucketId)) return null;
  const startMs = world.time.nowMs;
  const positions = home.bridge.catalog.positions(owner, bucketId);
  await Promise.race([home.bridge.shares.keep(owner, home.process.runtime.deadline(LIMIT_MS)), home.died]);
  const fedTo = home.bridge.shares.list(owner).find((one) => one.shareId === shareId)?.fedTo ?? [];
  const reached = new Map(fedTo.map(({ logId, seq }) => [logId, seq]));
  if (positions.some(({ logId, seq }) => (reached.get(logId) ?? 0) < seq)) return null;
  world.note(`${home.name} has fed the share`);
  return ({ ackMs, via }) => ackMs !== null && ackMs < startMs && (via === home.name || ackMs < home.startedMs);
}

/** Acknowledged writes that the share has to have. */
type Counts = (write: Write) => boolean;

/** The app reads everything. Rejects with what the client rejects with. */
async function readShare(world: World, share: ShareHome, counts: Counts): Promise<void> {
  const { client, signal, grant } = withGrant(world, share.grant, appKey());
  const isOver = grant.expiresMs + MAX_SKEW_MS < world.time.nowMs;
  const shown = new Map<string, PutEntry>();
  const reader = await openBucket(client, grant.access, share.shareId, signal).catch(neverFed);
  if (reader && isOver) throw new Violation('the app reads the share with a grant that has ended');
  if (reader) for await (const entry of reader.list()) shown.set(entry.key, entry);
  const beyond = [...shown.keys()].find((key) => !key.startsWith(share.prefix));
  if (beyond) throw new Violation(`the share of ${share.prefix} shows ${beyond}`);
  for (const key of world.model.keys().filter((one) => one.startsWith(share.prefix))) {
    const entry = shown.get(key);
    const chunks: Uint8Array[] = [];
    if (entry && reader) for await (const chunk of reader.read(entry)) chunks.push(chunk.slice());
    const problem = world.model.problem(key, entry ? new Uint8Array(Buffer.concat(chunks)) : null, counts);
    if (problem) throw new Violation(`in the share ${problem}`);
  }
  world.note(`the app reads ${shown.size} objects`);
}

function neverFed(error: unknown): null {
  if (error instanceof LogError && error.code === 'NoReplicaSet') return null;
  throw error;
}

/** Everything that ever was in the share's log, as the owner may read it. */
async function checkShareLog(world: World, { shareId, bucketId, prefix }: ShareHome): Promise<void> {
  const { client, access, signal } = owners(world);
  const { owner } = access;
  const state = await readHeads(client.link, { owner, bucketId: shareId, signal }).catch(neverFed);
  if (!state) return;
  const keys = bucketKeys(access, state.view, shareId);
  const since = new Map(state.logs.map(({ log, firstSeq }) => [log.logId, Number.isFinite(firstSeq) ? firstSeq - 1 : 0]));
  const isSource = (logId: string) => state.view.logs.some((log) => log.logId === logId && log.bucketId === bucketId);
  for await (const { entries, heads } of readBatches(client.link, { state, since, keys, signal })) {
    const beyond = entries?.find((entry) => 'key' in entry && !entry.key.startsWith(prefix));
    if (beyond) throw new Violation(`the log of the share of ${prefix} has an entry of another key`);
    if (heads.some(({ logId }) => !isSource(logId))) throw new Violation('the share tells of logs beside its own bucket');
  }
}

/** The app's life: it reads, and now and then its grant ends, or the share does. */
export async function liveWithShare(world: World, isCalm: () => boolean): Promise<void> {
  const { dice } = world;
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      if (!isTrouble(error)) throw error;
      world.note(`${what}: ${String(error)}`);
    }
  };
  for (let left = dice.between(5, 9); left > 0 && !isCalm(); left--) {
    await world.sleep(dice.between(200, 7000));
    await world.isOn();
    const { share } = world;
    if (share?.isEnded) return;
    const what = dice.share();
    if (!share) await attempt('no share is made', async () => void (world.share = await makeShare(world)));
    else if (share.isEnding) await attempt("the share can't be ended", () => endShare(world, share));
    else if (what < 0.06) await attempt("the share can't be ended", () => endShare(world, share));
    else if (what < 0.15) await attempt("the words can't feed the share", () => feedWithWords(world));
    else if (what < 0.25) await attempt('no other grant is given', () => renewGrant(world, share, dice.between(30_000, 200_000)));
    else if (what < 0.35) await attempt("the narrow grants can't be tried", () => checkNarrow(world, share));
    else {
      await attempt("the app can't read now", async () => {
        const counts = dice.chance(0.5) ? await feedByBridge(world, share) : null;
        await readShare(world, share, counts ?? (() => false));
      });
    }
  }
}

/** The bridge feeds it, and the app sees all of it. Null where nobody may read it any more. */
export async function checkFed(world: World, share: ShareHome, tries: number): Promise<Counts | null> {
  if (share.isEnding) return null;
  const counts = await insist(world, tries, 'the share is not fed', async () => {
    const fed = await feedByBridge(world, share);
    if (!fed) throw new Error('the bridge has more');
    return fed;
  });
  await checkShown(world, share, counts, tries);
  return counts;
}

/** The app gets another grant, and reads all that counts. */
export async function checkShown(world: World, share: ShareHome, counts: Counts, tries: number): Promise<void> {
  await insist(world, tries, "the share can't be read", async () => {
    await renewGrant(world, share, PATIENT_MS);
    await readShare(world, share, counts);
  });
  await insist(world, tries, "the share's log can't be read", () => checkShareLog(world, share));
}

/** What a client of the share may meet in the middle of everything. */
function isTrouble(error: unknown): boolean {
  if (error instanceof Violation) return false;
  const isTimeout = error instanceof DOMException && error.name === 'TimeoutError';
  return isTimeout || [LogError, StorjError, ObjectsError, GetError, CallError, BridgeDied].some((kind) => error instanceof kind);
}

/** A grant in somebody's hands. */
export interface Holding {
  client: Client;
  /** Shows it first. */
  network: Network;
  /** Shows nothing. */
  silent: Network;
  grant: ReturnType<typeof openGrant>;
  signal: AbortSignal;
}

/** `from`: who shows it, if it isn't its holder. */
export function withGrant(world: World, text: string, holder: KeyPair, from = holder): Holding {
  const process = new Process(from === holder ? 'app' : 'thief', world.time, world.dice);
  const grant = openGrant(text, holder.seed);
  const silent = world.net.of(process, from.publicKey);
  const network = grantNetwork(silent, grant);
  const farm = settableFarmView(farmSnapshot(world.current()));
  const client = createClient({ network, farm, runtime: process.runtime, limits: { threads: 0 } });
  return { client, network, silent, grant, signal: process.runtime.deadline(LIMIT_MS) };
}
