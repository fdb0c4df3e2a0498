// storj grants
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { askText, handOn, holderText, parseAsk, parseHolder } from '#node/device/permissions.ts';
import type { Storj } from '#node/device/open-storj.ts';
import { grantFrom } from './access.ts';
import { UsageError, type Command, type Context, type Flags } from './command.ts';
import { namedFile } from './local-errors.ts';
import { timeText } from './output.ts';
import { remote } from './target.ts';

const DAY_MS = 24 * 3_600_000;
const VERBS = ['read', 'list', 'write', 'delete', 'share'] as const;
type Verb = (typeof VERBS)[number];

export const grants: Command = {
  name: 'grants',
  usage: 'grants key | ask BUCKET[/PREFIX] | approve ASK | create BUCKET | hand-on | list | revoke GRANT-FILE|BUCKET KEY',
  summary: 'Lets others use a bucket without the words, and takes it back',
  details: [
    '',
    '  grants key                    on their machine: a new key. Its seed stays there (STORJ_GRANT_KEY), the holder line goes',
    '                                to you',
    '  grants ask BUCKET[/PREFIX]    on their machine: a new key, and what the owner is asked for, sj-ask/1:…',
    '    --name NAME, --allow, --days',
    '  grants approve ASK            says what is asked for, and gives it: below a prefix reading is a share of its own',
    '  grants create BUCKET          prints the grant, sj-grant/1:…',
    '    --to KEY:BOX                the holder line; nobody else can use the grant',
    '    --bearer                    instead: the key is in the grant, whoever reads it has the access',
    '    --allow read,list           of read, list, write, delete, share',
    '    --prefix P                  of keys that may be written and deleted (reading below a prefix: storj share)',
    '    --days N                    1 to 30',
    '  grants hand-on                a part of your own grant (--grant, STORJ_GRANT) for somebody else, with the same flags. The',
    '                                owner need not be asked: he allowed "share"',
    '  grants list                   who wrote under a grant, and what was taken back. Grants themselves are kept nowhere',
    '  grants revoke FILE            a grant, by its text',
    '  grants revoke BUCKET KEY      everything that KEY was granted there until now',
  ],
  options: {
    to: { type: 'string' },
    name: { type: 'string' },
    bearer: { type: 'boolean' },
    allow: { type: 'string' },
    prefix: { type: 'string' },
    days: { type: 'string' },
  },
  takes: [1, 3],
  async run(context) {
    const [what = '', ...rest] = context.args;
    const work = { key, ask, approve, create, 'hand-on': pass, list, revoke }[what];
    if (work === undefined) throw new UsageError(`grants key, ask, approve, create, hand-on, list or revoke, not "${what}".`);
    await work(context, rest);
  },
};

async function key({ out }: Context): Promise<void> {
  const seed = new Uint8Array(randomBytes(32));
  const hex = Buffer.from(seed).toString('hex');
  const holder = holderText(seed);
  out.say({ seed: hex, holder }, `seed    ${hex}   keep it: STORJ_GRANT_KEY\nholder  ${holder}`);
}

async function ask({ flags, out }: Context, [where]: string[]): Promise<void> {
  if (where === undefined) throw new UsageError('Ask for what? storj grants ask BUCKET/PREFIX.');
  const seed = new Uint8Array(randomBytes(32));
  const hex = Buffer.from(seed).toString('hex');
  const { bucket: bucketName, key: prefix } = remote(where);
  const name = (flags['name'] as string | undefined) ?? 'storj';
  const wish = { name, bucketName, prefix, verbs: verbsFrom(flags), budgetBytes: null, forMs: daysOf(flags) * DAY_MS };
  const wanted = askText(seed, wish);
  out.say({ seed: hex, ask: wanted }, `seed  ${hex}   keep it: STORJ_GRANT_KEY\nask   ${wanted}`);
}

async function approve({ out, open }: Context, [text]: string[]): Promise<void> {
  if (text === undefined) throw new UsageError('Approve what? storj grants approve sj-ask/1:…');
  const wanted = parseAsk(text);
  const { name, bucketName, prefix, verbs, forMs } = wanted;
  out.note(`"${name}" asks to ${verbs.join(', ')} ${bucketName}/${prefix} for ${Math.round(forMs / DAY_MS)} days.`);
  const storj = await open();
  const { bucketId } = await storj.bucket(bucketName);
  const { share, grant } = await storj.permissions.approve({ ask: wanted, bucketId });
  if (share !== null) {
    await storj.feedShares();
    out.say({ share: share.shareId, grant: share.grant, of: `${bucketName}/${prefix}` }, share.grant);
  }
  if (grant !== null) out.say({ grant, of: bucketName }, grant);
}

async function create({ flags, out, open }: Context, [name]: string[]): Promise<void> {
  if (name === undefined) throw new UsageError('Which bucket? storj grants create BUCKET.');
  const { to, seed } = holderFrom(flags);
  const forMs = daysOf(flags) * DAY_MS;
  const allow = allowanceFrom(flags);
  const storj = await open();
  const { bucketId } = await storj.bucket(remote(name).bucket);
  const order = { bucketId, bucketName: remote(name).bucket, to, allow, forMs, ...(seed ? { seed } : {}) };
  const grant = await storj.permissions.issue(order);
  out.say({ grant, expiresMs: Date.now() + forMs }, grant);
}

async function pass(context: Context): Promise<void> {
  const { flags, out } = context;
  const own = await grantFrom(context, flags);
  if (own === null) throw new UsageError('Hand on what? Give your own grant: --grant FILE or STORJ_GRANT.');
  const { to, seed } = holderFrom(flags);
  const order = { ...own, to, allow: allowanceFrom(flags), forMs: daysOf(flags) * DAY_MS, ...(seed ? { seed } : {}) };
  const grant = handOn(order);
  out.say({ grant }, grant);
}

async function list({ out, open }: Context): Promise<void> {
  const storj = await open();
  const names = await bucketNames(storj);
  const { writers, revoked } = await storj.permissions.given();
  for (const one of writers) {
    const bucket = names.get(one.bucketId) ?? one.bucketId;
    out.say(
      { ...one, bucket },
      `${bucket}: ${one.holder} wrote from ${timeText(one.since)}, granted until ${timeText(one.expiresMs)}`,
    );
  }
  for (const one of revoked) {
    const bucket = names.get(one.bucketId) ?? one.bucketId;
    out.say({ ...one, bucket }, `${bucket}: ${one.revoked} taken back ${timeText(one.atMs)}`);
  }
}

async function revoke({ out, open }: Context, [what, holder]: string[]): Promise<void> {
  if (what === undefined) throw new UsageError('Which grant? storj grants revoke FILE, or BUCKET KEY.');
  const storj = await open();
  const { permissions } = storj;
  const revoked =
    holder === undefined
      ? await permissions.revoke({ text: what.startsWith('sj-grant/') ? what : await namedFile(readFile(what, 'utf8')) })
      : await permissions.revoke({ bucketId: (await storj.bucket(remote(what).bucket)).bucketId, holder: publicKeyOf(holder) });
  out.say({ revoked }, `${revoked} taken back; farmers know within five minutes`);
}

function publicKeyOf(text: string): string {
  const [key = ''] = text.split(':');
  if (!/^[0-9a-f]{64}$/.test(key)) throw new UsageError(`"${text}" is no key: 64 hex digits, or a whole holder line.`);
  return key;
}

async function bucketNames(storj: Storj): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { name } of await storj.buckets()) found.set((await storj.bucket(name)).bucketId, name);
  return found;
}

export function holderFrom(flags: Flags): { to: ReturnType<typeof parseHolder>; seed: Uint8Array | null } {
  const to = flags['to'] as string | undefined;
  if ((to === undefined) === (flags['bearer'] !== true)) {
    throw new UsageError('For whom? --to KEY:BOX (storj grants key, on their machine), or --bearer for whoever has the text.');
  }
  if (to !== undefined) return { to: parseHolder(to), seed: null };
  const seed = new Uint8Array(randomBytes(32));
  return { to: parseHolder(holderText(seed)), seed };
}

export function daysOf(flags: Flags): number {
  const days = Number(flags['days'] ?? 30);
  if (!Number.isInteger(days) || days < 1 || days > 30) throw new UsageError('--days takes 1 to 30.');
  return days;
}

function verbsFrom(flags: Flags): Verb[] {
  const named = ((flags['allow'] as string | undefined) ?? 'read,list').split(',');
  return named.map((one) => {
    const verb = VERBS.find((known) => known === one);
    if (verb === undefined) throw new UsageError(`--allow takes ${VERBS.join(', ')}; not "${one}".`);
    return verb;
  });
}

/** Reading has no prefix, so it is an allowance of its own. */
function allowanceFrom(flags: Flags): { verbs: Verb[]; prefix?: string }[] {
  const verbs = verbsFrom(flags);
  const prefix = flags['prefix'] as string | undefined;
  if (prefix === undefined) return [{ verbs }];
  const isReading = (verb: Verb) => verb === 'read' || verb === 'list';
  const reading = verbs.filter(isReading);
  const writing = verbs.filter((verb) => !isReading(verb));
  if (writing.length === 0) throw new UsageError('--prefix is for writing; for reading below a prefix: storj share create.');
  return [...(reading.length > 0 ? [{ verbs: reading }] : []), { verbs: writing, prefix }];
}
