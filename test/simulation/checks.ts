// What must hold of a world, as DESIGN.md section 10 says it, judged from outside: by readers who know nothing but
// the owner's words, and by looking at every disk.
import { connectFarm, listBuckets, openBucket } from '#node/client/account.ts';
import type { BucketReader } from '#node/client/bucket-reader.ts';
import { createClient } from '#node/client/client.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import { pieceId } from '#node/core/segments.ts';
import { openShares } from '#node/client/shares.ts';
import { LogError } from '#node/log/log-link.ts';
import { readBatches, readHeads } from '#node/log/log-reader.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { encodeCallHead } from '#node/wire/calls.ts';
import { ACCOUNT_BUCKET_ID, type BucketId, type PutEntry } from '#node/wire/types.ts';
import { MARKER, type Write } from './model.ts';
import { Process } from './virtual-time.ts';
import { BUCKET_NAME, Violation, type World } from './world.ts';

/** Longest that a reader of the words takes, with patience for the weather. */
const READ_MS = 600_000;

/** An empty laptop with the words and one farmer's address. What it reads is what everybody may read. */
class WordsReader {
  readonly #world: World;
  readonly #process: Process;

  constructor(world: World, name: string) {
    this.#world = world;
    this.#process = new Process(name, world.time, world.dice);
  }

  async #client() {
    const world = this.#world;
    const { publicKey } = world.owner.keyPair;
    const network = world.net.of(this.#process, publicKey);
    const signal = this.#process.runtime.deadline(READ_MS);
    const first = world.dice.pick(world.farmers.filter(({ running, lie }) => running && !lie));
    const snapshot = await connectFarm(
      network,
      { farmer: first.keyPair.publicKey, url: `memory://${first.keyPair.publicKey}` },
      signal,
    );
    const client = createClient({
      network,
      farm: settableFarmView(snapshot),
      runtime: this.#process.runtime,
      limits: { threads: 0 },
    });
    return { client, signal, access: { owner: publicKey, accountSecret: world.owner.accountSecret } };
  }

  /** The bucket and what is in it; rejects where too few farmers answer, null where it was never written. */
  async content(): Promise<Content | null> {
    const { client, signal, access } = await this.#client();
    const buckets = await listBuckets(client, access, signal);
    const bucket = buckets.find(({ name }) => name === BUCKET_NAME);
    if (!bucket) return null;
    const reader = await openBucket(client, access, bucket.bucketId, signal).catch(neverWritten);
    if (!reader) return null;
    const current = new Map<string, PutEntry>();
    for await (const entry of reader.list()) current.set(entry.key, entry);
    return { reader, current };
  }

  /** Every batch that counts: log → sequence → hash. Those that a checkpoint stands for may be gone, and a share that was ended. */
  async batches(): Promise<Map<string, FoundLog>> {
    const { client, signal, access } = await this.#client();
    const buckets = await listBuckets(client, access, signal);
    const found = new Map<string, FoundLog>();
    const { view } = await fetchRoots(client.link, access.owner, signal);
    const open = new Set(openShares(access, view).map(({ shareId }) => shareId));
    const isOver = (bucketId: BucketId) => !open.has(bucketId) && view.shares.some(({ shareId }) => shareId === bucketId);
    for (const { logId } of view.logs.filter((log) => isOver(log.bucketId)))
      found.set(logId, { firstSeq: Infinity, hashes: new Map() });
    for (const bucketId of [ACCOUNT_BUCKET_ID, ...buckets.map((one) => one.bucketId), ...open]) {
      const state = await readHeads(client.link, { owner: access.owner, bucketId, signal }).catch(() => null);
      if (!state) continue;
      const isDropped = state.view.checkpoints.has(bucketId);
      for (const { log, seq, firstSeq } of state.logs)
        found.set(log.logId, { firstSeq: isDropped && seq > 0 ? firstSeq : 1, hashes: new Map() });
      const since = new Map(state.logs.map(({ log }) => [log.logId, found.get(log.logId)!.firstSeq - 1]));
      for await (const { header, hash } of readBatches(client.link, { state, since, keys: {}, signal }))
        found.get(header.logId)?.hashes.set(header.seq, hash);
    }
    return found;
  }
}

interface FoundLog {
  /** What comes before it may be gone. */
  firstSeq: number;
  hashes: Map<number, string>;
}

function neverWritten(error: unknown): null {
  if (error instanceof LogError && error.code === 'NoReplicaSet') return null;
  throw error;
}

interface Content {
  reader: BucketReader;
  current: Map<string, PutEntry>;
}

async function bytesOf({ reader }: Content, entry: PutEntry): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of reader.read(entry)) chunks.push(chunk.slice());
  return new Uint8Array(Buffer.concat(chunks));
}

/** One look at everything through the words. Throws Violation; `tries` bounds the patience. */
export async function checkFromWords(world: World, name: string, tries: number): Promise<void> {
  const reader = new WordsReader(world, name);
  const startMs = world.time.nowMs;
  const counts = (write: Write) => write.ackMs !== null && write.ackMs < startMs;
  const found = await insist(world, tries, `${name}: the bucket can't be read from the words`, () => reader.content());
  const { model } = world;
  if (!found) {
    if (model.writes.some(counts)) throw new Violation(`${name}: the bucket isn't there, though writes to it were acknowledged`);
    return;
  }
  for (const key of found.current.keys()) {
    if (!model.keys().includes(key)) throw new Violation(`${name}: ${key} is there, and nobody wrote it`);
  }
  for (const key of model.keys()) {
    const entry = found.current.get(key);
    const bytes = entry
      ? await insist(world, tries, `${name}: ${key} is listed and can't be read`, () => bytesOf(found, entry))
      : null;
    const problem = model.problem(key, bytes, counts);
    if (problem) throw new Violation(`${name}: ${problem}`);
  }
  await checkMoves(world, name, found);
}

/** Readers believe no move that no farmer gave its word for. */
async function checkMoves(world: World, name: string, { reader, current }: Content): Promise<void> {
  const keys = [...current.values()].flatMap(({ segments }) => segments ?? []);
  for (const { placement, moved } of await reader.locate(keys)) {
    for (const [piece, farmers] of moved ?? []) {
      const head = encodeCallHead('piece.put', { owner: reader.owner, pieceId: pieceId(placement.secret, piece) });
      const forged = farmers.find((farmer) => !world.receipts.has(`${farmer} ${Buffer.from(head).toString('hex')}`));
      if (forged) throw new Violation(`${name}: piece ${piece} is said to be on ${world.nameOf(forged)}, which never had it`);
    }
  }
}

/** No acknowledged batch has vanished or has another in its place. */
export async function checkLogs(world: World, tries: number): Promise<void> {
  const reader = new WordsReader(world, 'log reader');
  const found = await insist(world, tries, 'the logs can’t be read from the words', () => reader.batches());
  for (const [logId, log] of world.acknowledged) {
    for (const [seq, hash] of log) {
      const known = found.get(logId);
      const there = known?.hashes.get(seq);
      if (there === hash || (known && seq < known.firstSeq)) continue;
      throw new Violation(
        `batch ${seq} of log ${logId.slice(0, 8)} was acknowledged and ${there ? 'is another now' : 'is gone'}`,
      );
    }
  }
}

/** Through a bridge: it knows what was acknowledged before it started, and what it acknowledged itself. */
export async function readThroughBridge(world: World, key: string, home = world.bridge): Promise<string | null> {
  if (!home) return null;
  const { bridge } = home;
  const account = { accessKeyId: 'sim', owner: world.owner.keyPair.publicKey, bucketName: null, displayName: 'sim' };
  const isZombie = home === world.zombie;
  const startMs = world.time.nowMs;
  const counts = (write: Write) =>
    write.ackMs !== null && write.ackMs < startMs && (write.via === home.name || (!isZombie && write.ackMs < home.startedMs));
  const signal = home.process.runtime.deadline(60_000);
  const bucket = bridge.objects.bucket(account, BUCKET_NAME);
  const version = bridge.objects.find(bucket, key);
  const hasTakenOver = home === world.bridge && bridge.writers.ready(account.owner, bucket.bucketId).current() !== null;
  let bytes: Uint8Array | null = null;
  if (version) {
    const chunks: Uint8Array[] = [];
    const source = bridge.objects.read(bucket, version, { offset: 0, length: version.sizeBytes }, signal);
    for await (const chunk of source) chunks.push(chunk);
    bytes = new Uint8Array(Buffer.concat(chunks));
  }
  const problem = world.model.problem(key, bytes, counts);
  if (problem && !(isZombie && bytes !== null && !problem.includes('nobody wrote')))
    throw new Violation(`${home.name}: ${problem}`);
  if (bytes && hasTakenOver) world.model.shown(key, bytes, world.time.nowMs);
  return bytes ? Buffer.from(bytes.subarray(0, 6)).toString('latin1') : 'nothing';
}

/** Only ciphertext has left the owner's side. */
export function checkDisks(world: World): void {
  for (const { disk, name } of [...world.farmers, ...world.oldDisks.map((one) => ({ disk: one, name: 'an old disk' }))]) {
    if (disk.holds(Buffer.from(MARKER))) throw new Violation(`${name} holds plaintext`);
  }
}

/** Tries again while farmers don't answer; a Violation is final. */
export async function insist<T>(world: World, tries: number, what: string, work: () => Promise<T>): Promise<T> {
  for (let left = tries; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Violation) throw error;
      world.note(`${what}: ${String(error)}`);
      if (left <= 1) throw new Violation(`${what}: ${String(error)}`, { cause: error });
      await world.sleep(5000);
    }
  }
}

/** In the middle of everything it may fail; what it reads must be right. */
export async function checkFromWordsIfItAnswers(world: World, name: string): Promise<void> {
  try {
    await checkFromWords(world, name, 1);
  } catch (error) {
    if (error instanceof Violation && error.cause === undefined) throw error;
    world.note(`${name} can't read now`);
  }
}
