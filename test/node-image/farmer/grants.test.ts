// Grants at real farmers: presented over the connection of their holder, by verb, with budget, taken back.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { leafHashes, pieceRoot, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { toHex } from '#node/core/ids.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { presentedGrants } from '#node/farmer/presented-grants.ts';
import { CallError, type Operation } from '#node/net/net.ts';
import { encodeBatch, NO_HASH } from '#node/wire/batch.ts';
import { encodeCallHead, pieceFooter, type Heads } from '#node/wire/calls.ts';
import { footerBytes, frameAll } from '#node/wire/framing.ts';
import { encodeGrantChain, extendGrant, type GrantChain, type GrantTerms } from '#node/wire/grants.ts';
import { rootView, signRootStatement } from '#node/wire/root-view.ts';
import { decodeRootStatement } from '#node/wire/statements.ts';
import { ACCOUNT_BUCKET_ID, type RootStatement, type Verb } from '#node/wire/types.ts';
import { memoryFarm, testKey, type MemoryFarm } from '#test/support/memory-farmer.ts';

const HOUR_MS = 3_600_000;
const [ownerKey, keeper, app, thief, appLog, keeperLog] = ['owner', 'keeper', 'app', 'thief', 'app log', 'keeper log'].map(
  testKey,
) as [KeyPair, KeyPair, KeyPair, KeyPair, KeyPair, KeyPair];
const owner = ownerKey.publicKey;
const bucketId = '12'.repeat(16);
/** Of the test that runs. */
let signal: AbortSignal;
const say = (key: KeyPair, body: RootStatement) => signRootStatement(key, body).bytes;

let nowMs: number;
let farm: MemoryFarm;

beforeEach(async () => {
  signal = AbortSignal.timeout(60_000);
  nowMs = 1_700_000_000_000;
  farm = await memoryFarm({ farmers: 3, nowMs: () => nowMs });
  const role = {
    kind: 'role',
    owner,
    subject: keeper.publicKey,
    role: 'keeper',
    bucketId: '*',
    sealedSecret: new Uint8Array(0),
    issuedMs: 1,
  } as const;
  const members = farm.farmers.map(({ keyPair }) => keyPair.publicKey);
  const set = { kind: 'replica-set', owner, bucketId, epoch: 1, f: 1, members, issuedMs: 1 } as const;
  for (let i = 0; i < 3; i++) await putRoots(i, [say(ownerKey, role), say(keeper, set)]);
  await append(null);
});
afterEach(() => farm.stop());

async function* once(...parts: Uint8Array[]) {
  yield* parts;
}
/** 'Ok' or the code of the refusal; the answer is read to its end. */
async function call<O extends Operation & keyof Heads>(
  as: KeyPair,
  operation: O,
  head: Heads[O]['call'],
  body?: AsyncIterable<Uint8Array>,
  i = 0,
): Promise<string> {
  try {
    const message = { operation, head: encodeCallHead(operation, head), ...(body ? { body } : {}) };
    const answer = await farm.networkOf(as).call(farm.farmers[i]!.address, message, signal);
    for await (const _ of answer.body ?? once());
    return 'Ok';
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    return operation === 'grant.present' ? error.message.split(':')[0]! : error.code;
  }
}
const putRoots = (i: number, statements: Uint8Array[]) =>
  call(farm.bridge, 'roots.put', { owner }, once(frameAll(statements)), i);
const present = (chain: GrantChain, as = app, i = 0, of = owner) =>
  call(as, 'grant.present', { owner: of }, once(encodeGrantChain(chain)), i);
const grant = (verbs: Verb[], change: Partial<GrantTerms> & { owner?: string } = {}, issuer = keeper): GrantChain =>
  extendGrant([], issuer, {
    owner,
    audience: app.publicKey,
    bucketId,
    verbs,
    notBeforeMs: nowMs,
    expiresMs: nowMs + 24 * HOUR_MS,
    nonce16: new Uint8Array(16),
    ...change,
  });

function putPiece(as: KeyPair, pieceId = randomBytes(32).toString('hex')) {
  const piece = new Uint8Array(1000);
  const roots = [pieceRoot(leafHashes(piece)), new Uint8Array(32)];
  const footer = { segmentRoot: toHex(segmentRoot(roots)), index: 0, total: 2, path: rootPath(roots, 0) };
  return call(as, 'piece.put', { owner, pieceId }, once(piece, footerBytes(pieceFooter.encode(footer))));
}
/** Opens a log and appends its first batch: the app's, under the chain, or (null) the bridge the keeper's. */
async function append(chain: GrantChain | null, bucket = bucketId) {
  const [writer, logKey] = chain ? [app, appLog] : [keeper, keeperLog];
  const opening = { kind: 'log-opened', owner, bucketId: bucket, logId: logKey.publicKey, writer: writer.publicKey } as const;
  await putRoots(0, [say(writer, { ...opening, openedMs: nowMs, grant: chain && encodeGrantChain(chain) })]);
  const keys = { ownerPartKey: new Uint8Array(32), repairPartKey: new Uint8Array(32) };
  const position = { seq: 1, prevHash: NO_HASH, timeMs: nowMs, salt: new Uint8Array(32) };
  const batch = encodeBatch({ logKey, position, entries: [], heads: [], repair: { added: [], released: [] }, ...keys });
  const head = { owner, bucketId: bucket, logId: logKey.publicKey, epoch: 1, firstSeq: 1 };
  return call(chain ? app : farm.bridge, 'log.append', head, once(frameAll([batch.bytes])));
}
const revocation = (revoked: string) => say(keeper, { kind: 'revocation', owner, bucketId, revoked, logs: [], issuedMs: nowMs });

/** Everything that a grant may open. */
async function reach(as: KeyPair): Promise<string> {
  const pieceId = randomBytes(32).toString('hex');
  await putPiece(farm.bridge, pieceId);
  const results = {
    get: await call(as, 'piece.get', { owner, pieceId, firstLeaf: 0, leafCount: 0 }),
    put: await putPiece(as),
    heads: await call(as, 'log.heads', { owner, bucketId }),
    read: await call(as, 'log.read', { owner, logId: keeperLog.publicKey, fromSeq: 1, maxBytes: 10 }),
    other: await call(as, 'log.heads', { owner, bucketId: '99'.repeat(16) }),
  };
  return Object.entries(results)
    .filter(([, code]) => code !== 'Forbidden')
    .map(([name]) => name)
    .join(' ');
}

describe('a grant', () => {
  it('opens what its verbs say to its holder, once it was shown, and nothing to a thief', async () => {
    expect(await append(grant(['write']))).toBe('Forbidden');
    expect(await reach(app)).toBe('');
    expect(await present(grant(['write']))).toBe('Ok');
    expect(await reach(app)).toBe('put heads');
    expect(await append(grant(['write']))).toBe('Ok');
    expect(await present(grant(['list']))).toBe('Ok');
    expect(await reach(app)).toBe('put heads read');
    expect(await present(grant(['read', 'share']))).toBe('Ok');
    expect(await reach(app)).toBe('get put heads read');
    expect(await present(grant(['read']), thief)).toBe('WrongHolder');
    expect(await reach(thief)).toBe('');
  });

  it.each<[Verb, string]>([
    ['read', 'get heads read'],
    ['list', 'heads read'],
    ['write', 'put heads'],
    ['delete', 'heads'],
    ['share', ''],
  ])('to %s reaches: %s', async (verb, what) => {
    expect(await present(grant([verb]))).toBe('Ok');
    expect(await reach(app)).toBe(what);
  });

  it('is refused with the reason', async () => {
    expect(await present(grant(['read'], {}, thief))).toBe('UnknownIssuer');
    expect(await present(grant(['read'], { notBeforeMs: nowMs - 2 * HOUR_MS, expiresMs: nowMs - HOUR_MS }))).toBe('Expired');
    expect(await present(grant(['read'], { notBeforeMs: nowMs + HOUR_MS }))).toBe('NotYet');
    expect(await call(app, 'grant.present', { owner }, once(new Uint8Array([1, 2])))).not.toBe('Ok');
    // An owner whom nobody of the farm brought here can't let people in, however well he signs.
    const own = grant(['write'], { owner: thief.publicKey }, thief);
    expect(await present(own, app, 0, thief.publicKey)).toBe('This owner is unknown here.');
  });

  it('ends by time, and when the farmer starts anew it is shown again', async () => {
    await present(grant(['read']));
    nowMs += 24 * HOUR_MS;
    expect(await reach(app)).toBe('get heads read');
    nowMs += 1;
    expect(await reach(app)).toBe('');
    await present(grant(['read']));
    await farm.restart(0);
    expect(await reach(app)).toBe('');
    await present(grant(['read']));
    expect(await reach(app)).toContain('get');
  });

  it('never writes the account’s own log', async () => {
    const chain = grant(['write'], { bucketId: '*' });
    await present(chain);
    expect(await append(chain)).toBe('Ok');
    expect(await append(chain, ACCOUNT_BUCKET_ID)).not.toBe('Ok');
  });

  it('writes no more than its budget', async () => {
    await present(grant(['write'], { budgetBytes: 1500 }));
    expect([await putPiece(app), await putPiece(app), await putPiece(app)]).toEqual(['Ok', 'Ok', 'Forbidden']);
    // Shown again it is the same grant.
    await present(grant(['write'], { budgetBytes: 1500 }));
    expect(await putPiece(app)).toBe('Forbidden');
  });
});

describe('what was taken back', () => {
  it('is refused from the moment that the farmer knows it', async () => {
    await present(grant(['read', 'write']));
    await putRoots(0, [revocation(app.publicKey)]);
    expect(await reach(app)).toBe('');
    expect(await present(grant(['read']))).toBe('Revoked');
    nowMs += 1;
    expect(await present(grant(['read']))).toBe('Ok');
  });

  it('is learnt from the other farmers when a grant is shown', async () => {
    await Promise.all([1, 2].map((i) => putRoots(i, [revocation(app.publicKey)])));
    expect(await present(grant(['read']))).toBe('Revoked');
  });

  it('can not be learnt for an hour: no more writes, reading goes on', async () => {
    await present(grant(['read', 'write']));
    for (const i of [1, 2]) farm.net.detach(farm.farmers[i]!.keyPair.publicKey);
    nowMs += HOUR_MS - 1;
    expect(await putPiece(app)).toBe('Ok');
    nowMs += 2;
    expect([await putPiece(app), await append(grant(['write']))]).toEqual(['Forbidden', 'Forbidden']);
    expect(await reach(app)).toBe('get heads read');
    // The owner's own side isn't held up.
    expect(await putPiece(keeper)).toBe('Ok');
  });

  it('is asked for every five minutes, for owners whose grants are remembered', async () => {
    const statements = [...(await rootsOf(0))];
    const asked: string[] = [];
    const turns: (() => void)[] = [];
    const grants = presentedGrants({
      runtime: {
        nowMs: () => nowMs,
        elapsedMs: () => nowMs,
        random: () => new Uint8Array(0),
        deadline: (_, ...others) => AbortSignal.any(others),
        turn: async () => {},
        sleep: (delayMs, until) =>
          new Promise((resolve, reject) => {
            until?.addEventListener('abort', () => reject(until.reason as Error));
            turns.push(() => {
              nowMs += delayMs;
              resolve();
            });
          }),
      },
      owners: {
        view: async () => rootView(owner, statements.map(decodeRootStatement)),
        localView: () => rootView(owner, []),
        nearest: () => [],
        refresh: async (of) => void asked.push(of),
        complete: async () => {},
        refreshedMs: () => nowMs,
      },
    });
    const end = new AbortController();
    const running = grants.run(end.signal);
    const round = async () => {
      turns.shift()!();
      await new Promise((resolve) => setImmediate(resolve));
    };
    await round();
    expect(asked).toEqual([]);
    const startMs = nowMs;
    await grants.present({ from: app.publicKey, owner, chain: encodeGrantChain(grant(['read'])), signal });
    for (let i = 0; i < 3; i++) await round();
    expect(asked).toEqual([owner, owner, owner]);
    expect(nowMs - startMs).toBe(15 * 60_000);
    end.abort();
    await running;
  });
});

async function rootsOf(i: number): Promise<Uint8Array[]> {
  return farm.farmers[i]!.farmer.store.index.statements.of(owner);
}
