import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyPairFromSeed, type KeyPair } from '#node/core/keys.ts';
import { encodeGrantChain, extendGrant, type GrantChain, type GrantTerms } from '#node/wire/grants.ts';
import { isRepairer, hasRole, rootView, signRootStatement, verifySealOrder } from '#node/wire/root-view.ts';
import { signStatement } from '#node/wire/statements.ts';
import { ACCOUNT_BUCKET_ID, type LogOpenedStatement, type RootStatement, type Signed } from '#node/wire/types.ts';
import {
  atMs,
  bucketId,
  closed,
  fill,
  id,
  keeper,
  log,
  opened,
  ownerKey,
  placementLog,
  repairer,
  role,
  rootBodies,
  roots,
  sealOrder,
  set,
  stranger,
  warrant,
  worker,
  workerGrant,
} from './samples.ts';

const view = (...statements: Signed<RootStatement>[]) => rootView(ownerKey.publicKey, statements);
const writer = keyPairFromSeed(fill(0x31));
const writerRole = signRootStatement(ownerKey, { ...rootBodies.role, subject: writer.publicKey, role: 'writer', bucketId });
const openBy = (key: KeyPair, change: Partial<typeof rootBodies.opened> = {}) =>
  signRootStatement(key, { ...rootBodies.opened, writer: key.publicKey, ...change });
const reasons = (seen: ReturnType<typeof view>) => seen.rejected.map(({ reason }) => reason);

describe('the view', () => {
  it('shows roles, logs, sets and the warrant', () => {
    const seen = view(...roots);
    expect(seen.rejected).toEqual([]);
    expect(seen.roles).toEqual([rootBodies.role]);
    expect(seen.warrantSet).toEqual([rootBodies.warrant]);
    expect(seen.sets).toEqual(new Map([[bucketId, { epoch: 1, f: 1, members: rootBodies.set.members }]]));
    expect(seen.logs).toEqual([
      {
        logId: log.publicKey,
        bucketId,
        writer: keeper.publicKey,
        kind: 'entries',
        openedMs: atMs + 2,
        closed: { lastSeq: 7, lastHash: id(0x77), closedMs: rootBodies.closed.closedMs },
      },
    ]);
  });

  it('is the same in any order and with repetition', () => {
    const more = [
      writerRole,
      openBy(writer, { logId: id(8) }),
      openBy(stranger),
      openBy(repairer, { logId: placementLog.publicKey }),
    ];
    const all = [...roots, ...more];
    const expected = view(...all);
    fc.assert(
      fc.property(fc.shuffledSubarray([...all, ...all], { minLength: 2 * all.length }), (shuffled) => {
        expect(view(...shuffled)).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });

  it('takes nothing that speaks for another owner or is signed wrongly', () => {
    const foreign = signRootStatement(ownerKey, { ...rootBodies.role, owner: stranger.publicKey });
    const bytes = Uint8Array.from(role.bytes);
    bytes[bytes.length - 1]! ^= 1;
    const seen = view(foreign, { ...role, bytes });
    expect(seen.roles).toEqual([]);
    expect(reasons(seen).toSorted()).toEqual(['It speaks for another owner.', 'Its signature is wrong.']);
  });
});

describe('who may say what', () => {
  it('only the owner gives roles', () => {
    const seen = view(role, signRootStatement(keeper, { ...rootBodies.role, subject: stranger.publicKey }));
    expect(seen.roles).toHaveLength(1);
    expect(reasons(seen)).toEqual(['Only the owner gives roles.']);
  });

  it('only who has the role opens a log, and only its own', () => {
    expect(view(opened).logs).toEqual([]);
    expect(view(role, opened).logs).toHaveLength(1);
    const inAnothersName = signRootStatement(stranger, rootBodies.opened);
    expect(reasons(view(role, inAnothersName))).toEqual(['Only the writer itself names its log.']);
    const elsewhere = openBy(writer, { bucketId: id(0xb2, 16) });
    expect(view(writerRole, elsewhere).logs).toEqual([]);
  });

  it("a repairer's log holds placements, a writer's entries", () => {
    const seen = view(role, warrant, opened, openBy(repairer, { logId: placementLog.publicKey }));
    expect(seen.logs.map(({ logId, kind }) => [logId, kind])).toEqual(
      [
        [log.publicKey, 'entries'],
        [placementLog.publicKey, 'placements'],
      ].toSorted(),
    );
  });

  it('an earlier repairer keeps its logs when a new warrant counts', () => {
    const next = signRootStatement(ownerKey, {
      ...rootBodies.warrant,
      repairer: stranger.publicKey,
      repairEpoch: 2,
      issuedMs: atMs + 100,
    });
    const seen = view(warrant, next, openBy(repairer));
    expect(seen.warrantSet.map(({ repairer }) => repairer)).toEqual([stranger.publicKey]);
    expect(seen.warrants.map(({ repairEpoch }) => repairEpoch)).toEqual([1, 2]);
    expect(seen.logs).toHaveLength(1);
  });

  it('warrants of the highest repair epoch are one set, whatever their clocks say', () => {
    const of = (by: typeof repairer, repairEpoch: number, issuedMs: number) =>
      signRootStatement(ownerKey, { ...rootBodies.warrant, repairer: by.publicKey, repairEpoch, issuedMs });
    const seen = view(of(repairer, 2, 50), of(stranger, 2, 10), of(keeper, 1, 9000));
    expect(seen.warrantSet.map((one) => one.repairer).sort()).toEqual([repairer.publicKey, stranger.publicKey].sort());
    expect([repairer, stranger, keeper].map(({ publicKey }) => isRepairer(seen, publicKey))).toEqual([true, true, false]);
  });

  it('only owner and keeper close logs, place them and give warrants', () => {
    const byWriter = [
      signRootStatement(writer, rootBodies.closed),
      signRootStatement(writer, rootBodies.set),
      signRootStatement(writer, rootBodies.warrant),
    ];
    const seen = view(role, writerRole, opened, ...byWriter);
    expect(seen.rejected).toHaveLength(3);
    expect(seen.logs[0]!.closed).toBeUndefined();
    expect(seen.sets.size).toBe(0);
    expect(seen.warrantSet).toEqual([]);
    expect(view(role, signRootStatement(keeper, rootBodies.warrant)).warrantSet).toHaveLength(1);
  });

  it('a writer closes its own log, and no other', () => {
    const theirs = openBy(writer, { logId: id(8) });
    const end = (key: KeyPair, logId: string) => signRootStatement(key, { ...rootBodies.closed, logId });
    const seen = view(role, writerRole, opened, theirs, end(writer, id(8)), end(writer, log.publicKey));
    expect(seen.logs.find(({ logId }) => logId === id(8))?.closed?.lastSeq).toBe(rootBodies.closed.lastSeq);
    expect(seen.logs.find(({ logId }) => logId === log.publicKey)?.closed).toBeUndefined();
    expect(reasons(seen)).toEqual(["Only the owner, a keeper of the bucket or the log's writer closes it."]);
    // Claiming the id of another's log doesn't help.
    const claimed = view(role, writerRole, opened, openBy(writer, { openedMs: 0 }), end(writer, log.publicKey));
    expect(claimed.logs.map((one) => one.closed)).toEqual([undefined, undefined]);
  });

  it('a keeper of one bucket keeps that one only', () => {
    const ofOne = signRootStatement(ownerKey, { ...rootBodies.role, bucketId });
    expect(view(ofOne, set).sets.size).toBe(1);
    expect(view(ofOne, signRootStatement(keeper, { ...rootBodies.set, bucketId: id(0xb2, 16) })).sets.size).toBe(0);
    expect(view(ofOne, signRootStatement(keeper, rootBodies.warrant)).warrantSet).toEqual([]);
  });

  it('nobody can take a log away by claiming its id', () => {
    const claim = openBy(writer, { openedMs: 0 });
    const seen = view(role, writerRole, opened, claim);
    expect(seen.logs.map((one) => one.writer).toSorted()).toEqual([keeper.publicKey, writer.publicKey].toSorted());
  });
});

describe('of several', () => {
  it('the furthest closing counts', () => {
    const further = signRootStatement(keeper, { ...rootBodies.closed, lastSeq: 9, lastHash: id(0x99) });
    expect(view(role, opened, closed, further).logs[0]!.closed).toMatchObject({ lastSeq: 9, lastHash: id(0x99) });
  });

  it('the highest epoch of a set counts', () => {
    const later = signRootStatement(keeper, { ...rootBodies.set, epoch: 2, members: [id(4)], issuedMs: 0 });
    expect(view(role, set, later).sets.get(bucketId)).toEqual({ epoch: 2, f: 1, members: [id(4)] });
  });

  it('the epoch below the highest is known too, as far as it is told', () => {
    const [second, third, fifth] = [2, 3, 5].map((epoch) =>
      signRootStatement(keeper, { ...rootBodies.set, epoch, members: [id(epoch)], issuedMs: 0 }),
    ) as [Signed<RootStatement>, Signed<RootStatement>, Signed<RootStatement>];
    expect(view(role, third).setsBefore.get(bucketId)).toBeUndefined();
    for (const all of [
      [second, third, fifth],
      [fifth, third, second],
      [third, second, fifth],
    ])
      expect(view(role, set, ...all).setsBefore.get(bucketId)).toEqual({ epoch: 3, f: 1, members: [id(3)] });
  });
});

describe('roles', () => {
  it('a keeper may write, a writer may read, and the owner may all', () => {
    const seen = view(role, writerRole);
    const may = (key: KeyPair) =>
      (['reader', 'writer', 'keeper'] as const).map((one) => hasRole(seen, key.publicKey, one, bucketId));
    expect(may(keeper)).toEqual([true, true, true]);
    expect(may(writer)).toEqual([true, true, false]);
    expect(may(ownerKey)).toEqual([true, true, true]);
    expect(may(stranger)).toEqual([false, false, false]);
    expect(hasRole(seen, writer.publicKey, 'reader', id(0xb2, 16))).toBe(false);
  });

  it('a keeper, the owner and the writer of a log may order its end', () => {
    const seen = view(role, writerRole, warrant, opened, openBy(repairer, { logId: placementLog.publicKey }));
    const order = (key: KeyPair, change = {}) => verifySealOrder(signStatement(key, { ...sealOrder.body, ...change }), seen);
    expect(order(keeper)).toBe(true);
    expect(order(ownerKey)).toBe(true);
    expect(order(writer)).toBe(false);
    expect(order(repairer)).toBe(false);
    expect(order(repairer, { logId: placementLog.publicKey })).toBe(true);
    expect(order(keeper, { owner: stranger.publicKey })).toBe(false);
  });
});

describe('grants', () => {
  const openUnder = (chain: GrantChain, change: Partial<LogOpenedStatement> = {}) =>
    signRootStatement(worker, {
      ...rootBodies.opened,
      logId: id(0x57),
      writer: worker.publicKey,
      openedMs: atMs + 4_000_000,
      grant: encodeGrantChain(chain),
      ...change,
    });
  const grantFrom = (issuer: KeyPair, change: Partial<GrantTerms> = {}) =>
    extendGrant([], issuer, {
      owner: ownerKey.publicKey,
      audience: worker.publicKey,
      bucketId,
      verbs: ['write'],
      notBeforeMs: atMs,
      expiresMs: atMs + 5_000_000,
      nonce16: fill(1, 16),
      ...change,
    });
  const logOf = (seen: ReturnType<typeof view>) => seen.logs.find(({ writer: by }) => by === worker.publicKey);

  it('let a writer without a role open a log, within what they allow', () => {
    const log = logOf(view(role, openUnder(workerGrant)));
    expect(log).toMatchObject({
      kind: 'entries',
      grants: [{ prefix: 'inbox/', verbs: ['write', 'delete'], countsTo: Infinity }],
    });
    expect(log!.closed).toBeUndefined();
  });

  it('do not for reading, for another bucket, time, holder or issuer, nor for the account', () => {
    const refused = (statement: Signed<RootStatement>) => {
      const seen = view(role, statement);
      expect(logOf(seen)).toBeUndefined();
      return reasons(seen)[0];
    };
    expect(refused(openUnder(grantFrom(keeper, { verbs: ['read', 'list', 'share'] })))).toContain('not for writing');
    expect(refused(openUnder(grantFrom(keeper), { bucketId: id(9, 16) }))).toContain('not for writing');
    expect(refused(openUnder(grantFrom(keeper, { bucketId: '*' }), { bucketId: ACCOUNT_BUCKET_ID }))).toContain(
      'not for writing',
    );
    expect(refused(openUnder(grantFrom(keeper), { openedMs: atMs + 5_000_001 }))).toContain('ended');
    expect(refused(openUnder(grantFrom(keeper, { audience: stranger.publicKey })))).toContain('another key');
    expect(refused(openUnder(grantFrom(stranger)))).toContain('not issued by');
    expect(refused(openUnder(grantFrom(keeper), { grant: fill(1) }))).toContain('CBOR');
  });

  it('that are renewed let the log go on; one that is taken back ends it where the revocation says', () => {
    const second = grantFrom(keeper, { notBeforeMs: atMs + 4_000_000, expiresMs: atMs + 9_000_000 });
    const renewed = openUnder(second, { openedMs: atMs + 4_500_000 });
    expect(logOf(view(role, openUnder(workerGrant), renewed))!.grants).toHaveLength(2);
    const takenBack = (change: Partial<typeof rootBodies.revocation>, by = keeper) =>
      logOf(view(role, openUnder(workerGrant), signRootStatement(by, { ...rootBodies.revocation, ...change })))!.grants![0]!
        .countsTo;
    expect(takenBack({})).toBe(9);
    expect(takenBack({ logs: [] })).toBe(0);
    expect(takenBack({ revoked: stranger.publicKey })).toBe(Infinity);
    expect(takenBack({}, stranger)).toBe(Infinity);
    expect(takenBack({}, worker)).toBe(Infinity);
  });

  it('and shares are told by a keeper only', () => {
    const seen = view(...roots);
    expect([seen.shares, seen.revocations]).toEqual([[rootBodies.share], [rootBodies.revocation]]);
    const forged = [signRootStatement(stranger, rootBodies.share), signRootStatement(stranger, rootBodies.revocation)];
    expect(view(role, ...forged).rejected).toHaveLength(2);
  });
});
