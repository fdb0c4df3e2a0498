// What clients of a bridge do: read, put, delete, copy, and upload in parts; the model hears of each.
import type { IncomingBody } from '#node/bridge/objects.ts';
import { ObjectsError, type Account } from '#node/bridge/objects.ts';
import { checkFromWordsIfItAnswers, readThroughBridge } from './checks.ts';
import { contentOf, MARKER, MIN_BODY_BYTES, type Write } from './model.ts';
import { BridgeDied, BUCKET_NAME, Violation, type BridgeHome, type World } from './world.ts';

export const KEYS = 4;
const LIMIT_MS = 120_000;

/** An end of a write that its client was told: nobody has to look for it. */
type Outcome = 'acknowledged' | 'nothing to do';
/** What a client does about a key; it rejects with ObjectsError or BridgeDied. */
type Act = (home: BridgeHome, write: Write) => Promise<Outcome>;

export function simAccount(world: World): Account {
  return { accessKeyId: 'sim', owner: world.owner.keyPair.publicKey, bucketName: null, displayName: 'sim' };
}

/** One call of a client, by chance. */
export async function actOnce(world: World, name: string): Promise<void> {
  const { dice } = world;
  const key = `secret-name-${dice.between(1, KEYS)}`;
  const home = world.zombie && dice.chance(0.4) ? world.zombie : world.bridge;
  const what = dice.share();
  if (what < 0.08) return await checkFromWordsIfItAnswers(world, `${name} with the words`);
  if (!home) return;
  if (what < 0.26) await read(world, name, home, key);
  else if (what < 0.4) await write(world, { name, home, key, kind: 'delete', sizeBytes: 0, act: remove });
  else if (what < 0.5) await copy(world, name, home, key);
  else if (what < 0.58)
    await write(world, { name, home, key, kind: 'put', sizeBytes: dice.between(40_000, 90_000), act: inParts });
  else await write(world, { name, home, key, kind: 'put', sizeBytes: sizeOf(world), act: putWhole });
}

const anyKey = ({ dice }: World) => `secret-name-${dice.between(1, KEYS)}`;

export function sizeOf({ dice }: World): number {
  return dice.chance(0.5) ? dice.between(MIN_BODY_BYTES, 900) : dice.between(65_537, 90_000);
}

async function read(world: World, name: string, home: BridgeHome, key: string): Promise<void> {
  try {
    const found = await Promise.race([readThroughBridge(world, key, home), home.died]);
    world.note(`${name} reads ${key} through ${home.name}: ${found}`);
  } catch (error) {
    if (error instanceof Violation) throw error;
    world.note(`${name} can't read ${key} through ${home.name}: ${String(error)}`);
  }
}

interface WriteOrder extends Pick<Write, 'key' | 'kind' | 'sizeBytes'> {
  name: string;
  home: BridgeHome;
  contentId?: number;
  act: Act;
}

async function write(world: World, { name, home, act, ...what }: WriteOrder): Promise<void> {
  const begun = world.model.begin({ ...what, startMs: world.time.nowMs, via: home.name });
  const told = `${name}: ${begun.kind} ${begun.id} of ${begun.key} (${begun.sizeBytes} bytes) by ${home.name}`;
  world.note(`${told} begins`);
  try {
    const outcome = await Promise.race([act(home, begun), home.died]);
    if (outcome === 'acknowledged') begun.ackMs = world.time.nowMs;
    world.note(`${told} is ${outcome}`);
  } catch (error) {
    if (!(error instanceof BridgeDied) && !(error instanceof ObjectsError)) throw error;
    world.note(`${told} failed: ${error.message}`);
  } finally {
    begun.endMs = world.time.nowMs;
  }
}

/** What is there now, under another name: no byte moves. */
async function copy(world: World, name: string, home: BridgeHome, key: string): Promise<void> {
  const to = `secret-name-${world.dice.between(1, KEYS)}`;
  try {
    const bucket = home.bridge.objects.bucket(simAccount(world), BUCKET_NAME);
    const source = home.bridge.objects.find(bucket, key);
    if (!source) return world.note(`${name}: nothing to copy at ${key}`);
    const act: Act = async ({ bridge, process }) => {
      const order = { from: bucket, source, key: to, headers: source.headers, conditions: {} };
      await bridge.objects.copy(bucket, order, process.runtime.deadline(LIMIT_MS));
      return 'acknowledged';
    };
    const { sizeBytes, etag } = source;
    await write(world, {
      name: `${name} from ${key}`,
      home,
      key: to,
      kind: 'put',
      sizeBytes,
      contentId: world.contents.get(etag) ?? Number(etag),
      act,
    });
  } catch (error) {
    if (!(error instanceof ObjectsError)) throw error;
    world.note(`${name} can't copy ${key}: ${error.message}`);
  }
}

/** False for the deletion of what isn't there: that is no write, but something that was read. */
const remove: Act = async ({ bridge, process, world }, { key }) => {
  const bucket = bridge.objects.bucket(simAccount(world), BUCKET_NAME);
  const isThere = bridge.objects.find(bucket, key) !== null;
  await bridge.objects.delete(bucket, key, {}, process.runtime.deadline(LIMIT_MS));
  return isThere ? 'acknowledged' : 'nothing to do';
};

const putWhole: Act = async ({ bridge, process, world }, write) => {
  const bucket = bridge.objects.bucket(simAccount(world), BUCKET_NAME);
  const body = bodyFrom(contentOf(write), String(write.id));
  const order = { key: write.key, headers: { 'x-amz-meta-secret': MARKER }, body, conditions: {} };
  await bridge.objects.put(bucket, order, process.runtime.deadline(LIMIT_MS));
  return 'acknowledged';
};

/** A small object, where nothing else is said. */
export async function putOne(
  world: World,
  name: string,
  home: BridgeHome,
  { key = anyKey(world), sizeBytes = world.dice.between(MIN_BODY_BYTES, 300) } = {},
): Promise<void> {
  await write(world, { name, home, key, kind: 'put', sizeBytes, act: putWhole });
}

export async function removeKey(world: World, name: string, home: BridgeHome, key: string): Promise<void> {
  await write(world, { name, home, key, kind: 'delete', sizeBytes: 0, act: remove });
}

/** In two parts, perhaps one of them twice; some uploads are never completed. */
const inParts: Act = async ({ bridge, process, world }, write) => {
  const { dice } = world;
  const { objects } = bridge;
  const signal = process.runtime.deadline(LIMIT_MS);
  const bucket = objects.bucket(simAccount(world), BUCKET_NAME);
  const about = { key: write.key, headers: { 'x-amz-meta-secret': MARKER }, checksumAlgorithm: null, checksumType: null };
  const end = dice.pick(['complete', 'complete', 'complete', 'abort', 'leave']);
  const upload = await objects.createUpload(bucket, about, signal);
  const bytes = contentOf(write);
  const half = bytes.length >> 1;
  if (dice.chance(0.2)) await objects.putPart(bucket, upload, 1, bodyFrom(bytes.subarray(half), 'overwritten'), signal);
  const parts = [];
  for (const [i, part] of [bytes.subarray(0, half), bytes.subarray(half)].entries())
    parts.push(await objects.putPart(bucket, upload, i + 1, bodyFrom(part, `${write.id}-${i}`), signal));
  if (end === 'complete') {
    const facts = { etag: String(write.id), checksums: [] };
    await objects.completeUpload(bucket, { upload, parts, facts, conditions: {} }, signal);
    return 'acknowledged';
  }
  if (end === 'abort') await objects.abortUpload(bucket, upload, signal);
  return 'nothing to do';
};

function bodyFrom(bytes: Uint8Array, etag: string): IncomingBody {
  const source = (async function* () {
    yield bytes;
  })();
  return { source, sizeBytes: bytes.length, facts: () => ({ etag, checksums: [] }) };
}

/** Now that everything is well, writing works as well. */
export async function mustWrite(world: World, home: BridgeHome): Promise<void> {
  for (let tries = 6; ; tries--) {
    const what = { key: 'last', kind: 'put', sizeBytes: sizeOf(world), startMs: world.time.nowMs, via: home.name } as const;
    const begun = world.model.begin(what);
    try {
      await putWhole(home, begun);
      begun.ackMs = begun.endMs = world.time.nowMs;
      return;
    } catch (error) {
      begun.endMs = world.time.nowMs;
      world.note(`${home.name} can't write: ${String(error)}`);
      if (tries === 1) throw new Violation(`${home.name} can't write any more: ${String(error)}`, { cause: error });
      await world.sleep(10_000);
    }
  }
}
