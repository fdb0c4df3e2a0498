// Who else may do something with the account's buckets: grants and shares, made, listed and taken back by the
// owner's key. Farmers learn of what was taken back within five minutes; readers know at once.
import type { Access, AccountAccess } from '#node/client/account.ts';
import type { Client } from '#node/client/client.ts';
import { handOnGrant, holderOf, issueGrant, openGrant, type GrantAllowance, type Holder } from '#node/client/grants.ts';
import { endStatement, openShares, shareStatement, type OpenShare } from '#node/client/shares.ts';
import { revokeGrants } from '#node/client/revoke-grants.ts';
import { isHex } from '#node/core/ids.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { WireError } from '#node/wire/codec.ts';
import { decodeAsk, decodeGrantText, encodeAsk, type GrantAsk } from '#node/wire/grant-text.ts';
import { decodeGrantChain } from '#node/wire/grants.ts';
import type { BucketId, Hash, PublicKey, RootStatement, Signed, Verb } from '#node/wire/types.ts';
import { StorjError, translated } from './storj-error.ts';

/** Public half of whoever is to hold a grant, as text: what its holder tells the owner. */
export const holderText = (seed: Uint8Array): string => {
  const { publicKey, box } = holderOf(seed);
  return `${publicKey}:${box}`;
};

/** Throws StorjError BadAddress. */
export function parseHolder(text: string): Holder {
  const [publicKey = '', box = '', ...more] = text.trim().split(':');
  if (isHex(publicKey, 32) && isHex(box, 32) && more.length === 0) return { publicKey, box };
  throw new StorjError('BadAddress', 'A holder is named by KEY:BOX, as "storj grants key" prints it on their machine.');
}

export interface GrantOrder {
  bucketId: BucketId;
  bucketName: string;
  to: Holder;
  allow: readonly GrantAllowance[];
  /** At most 30 days. */
  forMs: number;
  /** The holder's: whoever reads the text then has the access. */
  seed?: Uint8Array;
}
/** What the holder of a grant gives to somebody else: no more than it allows, and no longer. */
export interface HandOnOrder extends Pick<GrantOrder, 'to' | 'allow' | 'forMs' | 'seed'> {
  /** His own, with its seed where that isn't in it. */
  grant: string;
  holderSeed?: Uint8Array;
}
export interface ShareOrder {
  bucketId: BucketId;
  name: string;
  prefix: string;
  to: Holder;
  forMs: number;
  seed?: Uint8Array;
}
/** What an app's wish is answered with: a share to read below a prefix, a grant for the rest. */
interface Approved {
  share: { shareId: BucketId; grant: string } | null;
  grant: string | null;
}

/** An app's wish as text, `sj-ask/1:…`, by the seed of the key that is to hold what it is given. */
export function askText(seed: Uint8Array, wish: Omit<GrantAsk, 'audience' | 'box'>): string {
  const { publicKey: audience, box } = holderOf(seed);
  return encodeAsk({ audience, box, ...wish });
}

/** Throws StorjError BadAddress. */
export function parseAsk(text: string): GrantAsk {
  try {
    return decodeAsk(text);
  } catch (cause) {
    if (cause instanceof WireError) throw new StorjError('BadAddress', `That asks for nothing: ${cause.message}`, { cause });
    throw cause;
  }
}

export interface GivenPermissions {
  /** Logs that were opened under a grant. */
  writers: { bucketId: BucketId; holder: PublicKey; since: number; expiresMs: number }[];
  /** Ids of links, or keys of holders. */
  revoked: { bucketId: BucketId | '*'; revoked: Hash; atMs: number }[];
}

export interface Permissions {
  /** The text of a grant: there is no other copy of it. */
  issue(order: GrantOrder): Promise<string>;
  /** Gives an app what it asks for on this bucket: `parseAsk` says what that is, so look at it first. */
  approve(order: { ask: GrantAsk; bucketId: BucketId }): Promise<Approved>;
  /** By the grant's text, or by its holder's key. What was written under it until now stays. */
  revoke(what: { text: string } | { bucketId: BucketId; holder: PublicKey }): Promise<Hash>;
  given(): Promise<GivenPermissions>;
  /** A log with what lies below a prefix and nothing else; the account's bridge keeps it up to date. */
  share(order: ShareOrder): Promise<{ shareId: BucketId; grant: string }>;
  shares(): Promise<OpenShare[]>;
  /** Another grant on a share that is open, for the same holder: a grant ends after 30 days, a share doesn't. */
  renewShare(order: { shareId: BucketId; forMs: number }): Promise<string>;
  /** Also where it was ended before: that may have reached too few farmers. */
  endShare(shareId: BucketId): Promise<void>;
}

export function permissionsOf(input: { client: Client; access: Access; signer: KeyPair; limit: () => AbortSignal }): Permissions {
  const { client, access, signer, limit } = input;
  const { link, runtime } = client;
  const { owner } = access;

  const account = (): AccountAccess => {
    if ('accountSecret' in access && signer.publicKey === owner) return access;
    throw new StorjError('NotAllowed', 'Only the words give and take permissions: --words-file or STORJ_WORDS.');
  };
  const publish = async (statement: Signed<RootStatement>): Promise<void> => {
    const { statements: known } = await fetchRoots(link, owner, limit());
    await publishRoots(link, { owner, statements: [statement], known, signal: limit() });
  };
  const issue = async ({ forMs, ...order }: GrantOrder): Promise<string> => {
    const { view } = await fetchRoots(link, owner, limit());
    const nowMs = runtime.nowMs();
    const period = { notBeforeMs: nowMs, expiresMs: nowMs + forMs };
    return issueGrant({ ...order, ...period, issuer: signer, access: account(), view, farm: client.farm.current() }, runtime);
  };
  const issueOf = async ({ shareId, name, to }: Pick<OpenShare, 'shareId' | 'name' | 'to'>, forMs: number, seed?: Uint8Array) => {
    const order = { bucketId: shareId, bucketName: name, to, allow: [{ verbs: ['read', 'list'] as const }], forMs };
    return await issue({ ...order, ...(seed ? { seed } : {}) });
  };
  const share = async ({ bucketId, name, prefix, to, forMs, seed }: ShareOrder) => {
    const { shareId, statement } = shareStatement({ signer, access: account(), bucketId, name, prefix, to }, runtime);
    await publish(statement);
    return { shareId, grant: await issueOf({ shareId, name, to }, forMs, seed) };
  };
  const openShare = async (shareId: BucketId): Promise<OpenShare> => {
    const { view } = await fetchRoots(link, owner, limit());
    const found = openShares(account(), view).find((one) => one.shareId === shareId);
    if (found === undefined) throw noShare(shareId);
    return found;
  };

  return {
    share,
    async approve({ ask, bucketId }) {
      account();
      const { audience: publicKey, box, bucketName, prefix, verbs, budgetBytes, forMs } = ask;
      const common = { bucketId, to: { publicKey, box }, forMs };
      const isWriting = (verb: Verb) => verb === 'write' || verb === 'delete';
      const writing = verbs.filter(isWriting);
      const reading = verbs.filter((verb) => !isWriting(verb) && (verb !== 'share' || prefix === ''));
      const isShared = prefix !== '' && reading.length > 0;
      const allow = [
        ...(reading.length > 0 && !isShared ? [{ verbs: reading }] : []),
        ...(writing.length > 0 ? [{ verbs: writing, prefix, budgetBytes }] : []),
      ];
      return {
        share: isShared ? await share({ ...common, name: bucketName, prefix }) : null,
        grant: allow.length > 0 ? await issue({ ...common, bucketName, allow }) : null,
      };
    },
    issue: async (order) => {
      account();
      return await issue(order);
    },
    async revoke(what) {
      account();
      const { bucketId, holder } = 'text' in what ? lastLink(what.text) : what;
      await revokeGrants(link, { signer, owner, bucketId, holder, signal: limit() });
      return holder;
    },
    async given() {
      const { view } = await fetchRoots(link, owner, limit());
      return {
        writers: view.logs.flatMap(({ bucketId, writer, openedMs, grants }) =>
          grants
            ? [{ bucketId, holder: writer, since: openedMs, expiresMs: Math.max(...grants.map(({ expiresMs }) => expiresMs)) }]
            : [],
        ),
        revoked: view.revocations.map(({ bucketId, revoked, issuedMs }) => ({ bucketId, revoked, atMs: issuedMs })),
      };
    },
    async shares() {
      const { view } = await fetchRoots(link, owner, limit());
      return openShares(account(), view);
    },
    renewShare: async ({ shareId, forMs }) => await issueOf(await openShare(shareId), forMs),
    async endShare(shareId) {
      account();
      const { view } = await fetchRoots(link, owner, limit());
      const share = view.shares.find((one) => one.shareId === shareId);
      if (share === undefined) throw noShare(shareId);
      await publish(endStatement(signer, share, { owner, nowMs: runtime.nowMs() }));
    },
  };
}

const noShare = (shareId: BucketId) => new StorjError('NoSuchKey', `There is no share ${shareId}: storj share list.`);

/** Whom a grant was given: his key ends all that its text allows. */
function lastLink(text: string): { bucketId: BucketId; holder: PublicKey } {
  const [chain] = decodeGrantText(text.trim()).chains;
  const link = chain === undefined ? undefined : decodeGrantChain(chain).at(-1);
  if (link === undefined || link.body.bucketId === '*') throw new StorjError('BadAddress', 'The grant is for no bucket.');
  return { bucketId: link.body.bucketId, holder: link.body.audience };
}

/** A part of a grant for somebody else, made by its holder (it needs the verb `share`). Nobody is asked. Throws StorjError. */
export function handOn({ grant, holderSeed, forMs, ...order }: HandOnOrder): string {
  try {
    const own = openGrant(grant.trim(), holderSeed);
    const notBeforeMs = Math.max(systemRuntime.nowMs(), ...own.rights.map((one) => one.notBeforeMs));
    const expiresMs = Math.min(notBeforeMs + forMs, own.expiresMs);
    return handOnGrant(own, { ...order, notBeforeMs, expiresMs }, systemRuntime);
  } catch (error) {
    throw translated(error);
  }
}
