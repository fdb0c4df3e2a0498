// What a grant's chain of links lets its holder do. Pure: signatures are checked in wire/grants.ts, who may
// be asked and when is handed in. A link may only narrow the one before it.
import type {
  BucketId,
  GrantStatement,
  Hash,
  OwnerEntry,
  PublicKey,
  RepairPart,
  RevocationStatement,
  Verb,
} from '#node/wire/types.ts';

/** In the order in which a link lists them. `share` = may hand on. */
export const VERBS = ['read', 'list', 'write', 'delete', 'share'] as const satisfies readonly Verb[];
/** No link lives longer: whoever keeps the bucket renews. */
export const MAX_GRANT_MS = 30 * 24 * 3_600_000;
/** Owner → keeper's word → app → its worker, and one to spare. */
export const MAX_GRANT_LINKS = 5;
/** Clocks of honest nodes lie no further apart. */
const CLOCK_SKEW_MS = 5 * 60_000;

export type GrantErrorCode =
  | 'TooManyLinks'
  | 'WrongOwner' // a link speaks for another owner
  | 'BrokenChain' // a link doesn't follow on the one before it
  | 'Wider' // a link allows more than the one before it
  | 'PrefixNeedsShare' // reading can't be narrowed to a prefix offline
  | 'TooLong' // a link lives longer than 30 days
  | 'UnknownIssuer' // the first link isn't signed by the owner or a keeper of the bucket
  | 'WrongSignature'
  | 'WrongHolder' // presented by somebody else than its audience
  | 'NotYet'
  | 'Expired'
  | 'Revoked'
  | 'WrongBucket' // used for another bucket
  | 'Unreadable'; // the text is no grant, or this key doesn't open it

export class GrantError extends Error {
  readonly code: GrantErrorCode;
  constructor(code: GrantErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'GrantError';
    this.code = code;
  }
}

/** A link with its signer and its id (the hash of its signed bytes). */
export interface GrantLink {
  body: GrantStatement;
  issuer: PublicKey;
  id: Hash;
}

/** What the whole chain allows: every link's condition holds, and the last is the narrowest. */
export interface GrantRights {
  owner: PublicKey;
  /** Audience of the last link: the key that has to be on the other end of the connection. */
  holder: PublicKey;
  bucketId: BucketId | '*';
  /** Of keys that may be written and deleted. */
  prefix: string;
  verbs: Verb[];
  notBeforeMs: number;
  expiresMs: number;
  budgetBytes: number | null;
  /** What a revocation may name: id, audience and start of each link, first to last. */
  links: { id: Hash; audience: PublicKey; notBeforeMs: number }[];
}

/** Throws GrantError where a link is wrong in itself or doesn't narrow the one before it. */
export function chainRights(links: readonly GrantLink[]): GrantRights {
  const [first] = links;
  const last = links.at(-1);
  if (!first || !last || links.length > MAX_GRANT_LINKS) {
    throw new GrantError('TooManyLinks', `A grant has 1 to ${MAX_GRANT_LINKS} links, not ${links.length}.`);
  }
  for (const [i, link] of links.entries()) {
    if (link.body.owner !== first.body.owner) throw new GrantError('WrongOwner', 'A link speaks for another owner.');
    checkLink(link.body);
    checkFollows(link, links[i - 1]);
  }
  const { owner, audience: holder, bucketId, prefix, verbs, notBeforeMs, expiresMs, budgetBytes } = last.body;
  return {
    owner,
    holder,
    bucketId,
    prefix,
    verbs,
    notBeforeMs,
    expiresMs,
    budgetBytes,
    links: links.map(({ id, body }) => ({ id, audience: body.audience, notBeforeMs: body.notBeforeMs })),
  };
}

function checkLink({ prefix, verbs, notBeforeMs, expiresMs }: GrantStatement): void {
  if (prefix !== '' && (verbs.includes('read') || verbs.includes('list'))) {
    throw new GrantError(
      'PrefixNeedsShare',
      'Reading can not be narrowed to a prefix: the key that opens one entry of a bucket opens all. Make a share.',
    );
  }
  if (expiresMs <= notBeforeMs || expiresMs - notBeforeMs > MAX_GRANT_MS) {
    throw new GrantError('TooLong', 'A link of a grant lives for at most 30 days.');
  }
}

function checkFollows({ body, issuer }: GrantLink, before: GrantLink | undefined): void {
  if (body.parent !== (before?.id ?? null)) throw new GrantError('BrokenChain', 'A link names another one before it.');
  if (!before) return;
  const from = before.body;
  if (issuer !== from.audience) throw new GrantError('BrokenChain', 'A link is signed by somebody who was granted nothing.');
  if (!from.verbs.includes('share')) throw new GrantError('Wider', 'A grant without the verb share can not be handed on.');
  const wider =
    (from.bucketId !== '*' && body.bucketId !== from.bucketId && 'bucket') ||
    (!body.prefix.startsWith(from.prefix) && 'prefix') ||
    body.verbs.find((verb) => !from.verbs.includes(verb)) ||
    (body.notBeforeMs < from.notBeforeMs && 'start') ||
    (body.expiresMs > from.expiresMs && 'end') ||
    ((body.budgetBytes ?? Infinity) > (from.budgetBytes ?? Infinity) && 'budget');
  if (wider) throw new GrantError('Wider', `A link allows more than the one before it: ${wider}.`);
}

/** Throws GrantError NotYet or Expired. */
export function checkTime({ notBeforeMs, expiresMs }: GrantRights, nowMs: number): void {
  if (nowMs + CLOCK_SKEW_MS < notBeforeMs) {
    throw new GrantError('NotYet', `The grant begins at ${new Date(notBeforeMs).toISOString()}.`);
  }
  if (nowMs > expiresMs) {
    throw new GrantError('Expired', `The grant ended at ${new Date(expiresMs).toISOString()}. Ask for a new one.`);
  }
}

export function isLive(rights: GrantRights, nowMs: number): boolean {
  return nowMs + CLOCK_SKEW_MS >= rights.notBeforeMs && nowMs <= rights.expiresMs;
}

/** What took the grant back: by the id of one of its links, or by the key of somebody in its chain. */
export function revocationsOf(rights: GrantRights, all: readonly RevocationStatement[]): RevocationStatement[] {
  const hits = ({ revoked, issuedMs }: RevocationStatement) =>
    rights.links.some(({ id, audience, notBeforeMs }) => id === revoked || (audience === revoked && notBeforeMs <= issuedMs));
  return all.filter((one) => (one.bucketId === '*' || one.bucketId === rights.bucketId) && hits(one));
}

/** Whether one of the grants lets its holder do one of these on the bucket (any: on some bucket). */
export function allows(grants: readonly GrantRights[], bucketId: BucketId | 'any', ...verbs: readonly Verb[]): boolean {
  const isOf = (granted: BucketId | '*') => bucketId === 'any' || granted === '*' || granted === bucketId;
  return grants.some((rights) => isOf(rights.bucketId) && verbs.some((verb) => rights.verbs.includes(verb)));
}

// ---- what counts of a log that was opened under grants --------------------------------------

/** A grant under which a log was opened. `countsTo`: 0 or its last sequence where the grant was revoked. */
export interface LogGrant extends GrantRights {
  countsTo: number;
}

/** What counts of a batch: written while a grant held, and nothing that none of these allowed. */
export function countingPart(
  grants: readonly LogGrant[],
  batch: { seq: number; timeMs: number },
  content: { entries: OwnerEntry[] | null; repair: RepairPart | null },
): { entries: OwnerEntry[] | null; repair: RepairPart | null } {
  const held = grants.filter((grant) => batch.seq <= grant.countsTo && isLive(grant, batch.timeMs));
  const { entries, repair } = content;
  const mayRelease = held.some(({ prefix, verbs }) => prefix === '' && verbs.includes('delete'));
  return {
    entries: entries && entries.filter((entry) => held.some((grant) => permits(grant, entry))),
    // Cuts are a keeper's; and who may write below a prefix only must not end the repair of what others wrote.
    repair: repair && { added: held.length > 0 ? repair.added : [], released: mayRelease ? repair.released : [] },
  };
}

function permits({ verbs, prefix }: LogGrant, entry: OwnerEntry): boolean {
  if (entry.kind === 'put') return verbs.includes('write') && entry.key.startsWith(prefix);
  if (entry.kind === 'delete') return verbs.includes('delete') && entry.key.startsWith(prefix);
  // A part names its upload and no key.
  if (entry.kind === 'upload' || entry.kind === 'part') return verbs.includes('write') && prefix === '';
  return false;
}
