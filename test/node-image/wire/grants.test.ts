// Chains of grants: what they allow is what every link allows, and nothing that was touched is taken.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countingPart, GrantError, MAX_GRANT_MS, VERBS, type LogGrant } from '#node/core/grants.ts';
import { keyPairFromSeed, type KeyPair } from '#node/core/keys.ts';
import {
  decodeGrantChain,
  encodeGrantChain,
  extendGrant,
  grantId,
  openShareTerms,
  verifyGrant,
  type GrantChain,
  type GrantTerms,
} from '#node/wire/grants.ts';
import { decodeGrant, signStatement } from '#node/wire/statements.ts';
import type { GrantStatement, OwnerEntry, RevocationStatement, Verb } from '#node/wire/types.ts';
import * as s from './samples.ts';

const HOUR_MS = 3_600_000;
const owner = s.ownerKey.publicKey;
const check = {
  owner,
  holder: s.worker.publicKey,
  nowMs: s.atMs + 1.5 * HOUR_MS,
  revocations: [] as RevocationStatement[],
  isIssuer: (issuer: string) => issuer === s.keeper.publicKey || issuer === owner,
};
const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof GrantError) return error.code;
    throw error;
  }
  return 'Ok';
};
const verdict = (chain: GrantChain, change: Partial<typeof check> = {}) =>
  codeOf(() => verifyGrant(chain, { ...check, ...change }));
const terms: GrantTerms & { owner: string; nonce16: Uint8Array } = {
  owner,
  audience: s.app.publicKey,
  bucketId: s.bucketId,
  verbs: VERBS,
  notBeforeMs: s.atMs,
  expiresMs: s.atMs + MAX_GRANT_MS,
  nonce16: s.fill(1, 16),
};
const revoke = (revoked: string, change: Partial<RevocationStatement> = {}): RevocationStatement => ({
  ...s.rootBodies.revocation,
  revoked,
  ...change,
});

describe('a chain', () => {
  it('gives its last audience what its last link says', () => {
    expect(verifyGrant(s.workerGrant, check)).toMatchObject({
      owner,
      holder: s.worker.publicKey,
      bucketId: s.bucketId,
      prefix: 'inbox/',
      verbs: ['write', 'delete'],
      expiresMs: s.atMs + 2 * HOUR_MS,
      budgetBytes: 1000,
    });
    expect(decodeGrantChain(encodeGrantChain(s.workerGrant))).toEqual(s.workerGrant);
  });

  it('is refused with the reason', () => {
    const [first, second] = s.workerGrant as [GrantChain[number], GrantChain[number]];
    expect(verdict(s.workerGrant)).toBe('Ok');
    expect(verdict([])).toBe('TooManyLinks');
    expect(verdict(Array<GrantChain[number]>(6).fill(first))).toBe('TooManyLinks');
    expect(verdict(s.workerGrant, { holder: s.app.publicKey })).toBe('WrongHolder');
    expect(verdict(s.workerGrant, { owner: s.stranger.publicKey })).toBe('WrongOwner');
    expect(verdict(s.workerGrant, { isIssuer: () => false })).toBe('UnknownIssuer');
    expect(verdict(s.workerGrant, { nowMs: s.atMs + HOUR_MS - 6 * 60_000 })).toBe('NotYet');
    expect(verdict(s.workerGrant, { nowMs: s.atMs + HOUR_MS - 4 * 60_000 })).toBe('Ok');
    expect(verdict(s.workerGrant, { nowMs: s.atMs + 2 * HOUR_MS + 1 })).toBe('Expired');
    expect(verdict([second, first])).toBe('BrokenChain');
    expect(verdict([second])).toBe('BrokenChain');
    expect(verdict([first, first], { holder: s.app.publicKey })).toBe('BrokenChain');
    const byStranger = signStatement(s.stranger, second.body);
    expect(verdict([first, byStranger])).toBe('BrokenChain');
    const bytes = Uint8Array.from(second.bytes);
    bytes[bytes.length - 1]! ^= 1;
    expect(verdict([first, decodeGrant(bytes)])).toBe('WrongSignature');
  });

  it('ends with any of its links, and with any of its hands', () => {
    const [first, second] = s.workerGrant as [GrantChain[number], GrantChain[number]];
    const after = (one: RevocationStatement) => verdict(s.workerGrant, { revocations: [one] });
    for (const name of [grantId(first), grantId(second)]) expect(after(revoke(name, { issuedMs: 0 }))).toBe('Revoked');
    for (const key of [s.app.publicKey, s.worker.publicKey]) {
      expect(after(revoke(key, { issuedMs: s.atMs + HOUR_MS }))).toBe('Revoked');
      // What was granted later is another matter.
      expect(after(revoke(key, { issuedMs: s.atMs - 1 }))).toBe('Ok');
    }
    expect(after(revoke(grantId(first), { bucketId: '*' }))).toBe('Revoked');
    expect(after(revoke(grantId(first), { bucketId: s.id(9, 16) }))).toBe('Ok');
    expect(after(revoke(s.stranger.publicKey, { issuedMs: s.atMs + HOUR_MS }))).toBe('Ok');
  });

  it('can not be narrowed to a prefix for reading, nor handed on without the verb, nor live for longer than 30 days', () => {
    const hand = (change: Partial<typeof terms>, on: GrantChain = s.appGrant) =>
      codeOf(() =>
        extendGrant(on, s.app, { ...terms, verbs: ['write'], expiresMs: s.atMs + HOUR_MS, budgetBytes: 5, ...change }),
      );
    expect(hand({})).toBe('Ok');
    expect(hand({ verbs: ['read'], prefix: 'a/' })).toBe('PrefixNeedsShare');
    expect(hand({ verbs: ['list', 'write'], prefix: 'a/' })).toBe('PrefixNeedsShare');
    expect(hand({ expiresMs: s.atMs + 25 * HOUR_MS })).toBe('Wider');
    expect(hand({ notBeforeMs: s.atMs - 1 })).toBe('Wider');
    expect(hand({ budgetBytes: null })).toBe('Wider');
    expect(hand({ bucketId: '*' })).toBe('Wider');
    expect(hand({}, s.workerGrant)).toBe('BrokenChain');
    const mute = extendGrant([], s.keeper, { ...terms, verbs: ['write'] });
    expect(hand({}, mute)).toBe('Wider');
    expect(codeOf(() => extendGrant([], s.keeper, { ...terms, expiresMs: terms.expiresMs + 1 }))).toBe('TooLong');
    expect(codeOf(() => extendGrant([], s.keeper, { ...terms, expiresMs: terms.notBeforeMs }))).toBe('TooLong');
  });

  it('is refused when a bit of any byte flips', () => {
    const bytes = encodeGrantChain(s.workerGrant);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Uint8Array.from(bytes);
      changed[at]! ^= 1 << (at & 7);
      let chain: GrantChain;
      try {
        chain = decodeGrantChain(changed);
      } catch (error) {
        expect(error).toMatchObject({ code: 'Malformed' });
        continue;
      }
      expect(verdict(chain), `byte ${at}`).not.toBe('Ok');
    }
  });
});

// ---- properties -----------------------------------------------------------------------------

const hands: KeyPair[] = Array.from({ length: 5 }, (_, i) => keyPairFromSeed(s.fill(0x90 + i)));
const anyLink = fc.record({
  bucketId: fc.constantFrom(s.bucketId, s.id(9, 16), '*'),
  prefix: fc.constantFrom('', 'a', 'ab', 'abc', 'b'),
  verbs: fc.subarray([...VERBS], { minLength: 1 }),
  notBeforeMs: fc.nat(20).map((n) => s.atMs + n),
  expiresMs: fc.integer({ min: 15, max: 60 }).map((n) => s.atMs + n),
  budgetBytes: fc.option(fc.nat(3)),
});
type AnyLink = typeof anyLink extends fc.Arbitrary<infer T> ? T : never;

/** Signed by the right hands, whatever the terms are: what a dishonest holder can make. */
function forge(links: readonly AnyLink[]): GrantChain {
  const chain: GrantChain[number][] = [];
  for (const [i, link] of links.entries()) {
    const before = chain.at(-1);
    const body: GrantStatement = {
      kind: 'grant',
      owner,
      audience: hands[i]!.publicKey,
      ...link,
      parent: before ? grantId(before) : null,
      nonce: s.id(i, 16),
    };
    chain.push(signStatement(i === 0 ? s.keeper : hands[i - 1]!, body));
  }
  return chain;
}

describe('no chain', () => {
  it('allows more than any of its links', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.array(anyLink, { minLength: 1, maxLength: 4 }), fc.nat(60), (links, after) => {
        const holder = hands[links.length - 1]!.publicKey;
        const nowMs = s.atMs + after;
        let rights;
        try {
          rights = verifyGrant(forge(links), { ...check, holder, nowMs });
        } catch (error) {
          expect(error).toBeInstanceOf(GrantError);
          return;
        }
        taken += 1;
        for (const link of links) {
          expect(link.expiresMs).toBeGreaterThanOrEqual(nowMs);
          expect(link.verbs).toEqual(expect.arrayContaining(rights.verbs));
          expect(rights.prefix.startsWith(link.prefix)).toBe(true);
          expect([rights.bucketId, '*']).toContain(link.bucketId);
          expect(rights.budgetBytes ?? Infinity).toBeLessThanOrEqual(link.budgetBytes ?? Infinity);
          if (rights.verbs.includes('read') || rights.verbs.includes('list')) expect(link.prefix).toBe('');
        }
        for (const link of links.slice(0, -1)) expect(link.verbs).toContain('share');
      }),
      { numRuns: 500, examples: [[[plain({}), plain({ prefix: 'a', verbs: ['write'] })], 25]] },
    );
    expect(taken).toBeGreaterThan(20);
  });

  it('is taken with its links in another order, or with some of another chain', () => {
    const chain = forge([plain({}), plain({}), plain({ verbs: ['read'] })]);
    const other = forge([plain({ budgetBytes: 2 }), plain({ budgetBytes: 2 }), plain({ budgetBytes: 2, verbs: ['read'] })]);
    const whole = [chain, other].map((one) => JSON.stringify(one.map(grantId)));
    fc.assert(
      fc.property(fc.shuffledSubarray([...chain, ...other], { minLength: 1, maxLength: 4 }), (mixed) => {
        const holder = mixed.at(-1)!.body.audience;
        const isWhole = whole.some((ids) => ids.startsWith(JSON.stringify(mixed.map(grantId)).slice(0, -1)));
        expect(verdict(mixed, { holder, nowMs: s.atMs + 20 }) === 'Ok').toBe(isWhole);
      }),
      { numRuns: 300 },
    );
  });
});

function plain(change: Partial<AnyLink>): AnyLink {
  const all: Verb[] = [...VERBS];
  return {
    bucketId: s.bucketId,
    prefix: '',
    verbs: all,
    notBeforeMs: s.atMs,
    expiresMs: s.atMs + 50,
    budgetBytes: null,
    ...change,
  };
}

describe('of a log under grants', () => {
  const rights = (change: Partial<LogGrant>): LogGrant => ({
    ...verifyGrant(s.workerGrant, check),
    countsTo: Infinity,
    ...change,
  });
  const put = (key: string) => ({ ...s.entries[0], key }) as OwnerEntry;
  const remove = (key: string): OwnerEntry => ({ kind: 'delete', key, clock: { wallMs: 1, counter: 0 }, names: [] });
  const rest = s.entries.filter(({ kind }) => kind !== 'put' && kind !== 'delete');
  const at = { seq: 5, timeMs: check.nowMs };
  const keys = (grants: LogGrant[], batch = at) =>
    countingPart(grants, batch, {
      entries: [put('inbox/a'), put('other'), remove('inbox/b'), remove('other'), ...rest],
      repair: s.repairPart,
    });

  it('only keys below the prefix count, by verb, and the repair of others goes on', () => {
    const counted = keys([rights({})]);
    expect(counted.entries!.map((entry) => ('key' in entry ? `${entry.kind} ${entry.key}` : entry.kind))).toEqual([
      'put inbox/a',
      'delete inbox/b',
    ]);
    expect(counted.repair).toEqual({ added: s.repairPart.added, released: [] });
    expect(keys([rights({ verbs: ['delete'] })]).entries!.map(({ kind }) => kind)).toEqual(['delete']);
    const whole = keys([rights({ prefix: '' })]);
    expect(whole.entries!.map(({ kind }) => kind)).toEqual(['put', 'put', 'delete', 'delete', 'upload', 'part']);
    expect(whole.repair).toEqual({ added: s.repairPart.added, released: s.repairPart.released });
  });

  it('only what was written while one of them held, and up to where a revocation lets it', () => {
    const none = { entries: [], repair: { added: [], released: [] } };
    const late = { seq: 5, timeMs: s.atMs + 3 * HOUR_MS };
    expect(keys([rights({})], late)).toEqual(none);
    expect(keys([rights({ countsTo: 4 })])).toEqual(none);
    expect(keys([rights({ countsTo: 5 })]).entries).toHaveLength(2);
    expect(keys([])).toEqual(none);
    const renewed = rights({ notBeforeMs: s.atMs + 2 * HOUR_MS, expiresMs: s.atMs + 4 * HOUR_MS });
    expect(keys([rights({}), renewed], late).entries).toHaveLength(2);
    // Each by its own: the second one's prefix doesn't stretch the first one's time.
    expect(keys([rights({ expiresMs: s.atMs + HOUR_MS }), rights({ prefix: 'inbox/b' })]).entries).toHaveLength(1);
  });
});

it('terms of a share open with its secret and no other', () => {
  const { sealedTerms } = s.rootBodies.share;
  expect(openShareTerms(s.shareSecret, sealedTerms)).toEqual(s.shareTerms);
  expect(() => openShareTerms(s.secretOfBucket, sealedTerms)).toThrow('does not open');
});
