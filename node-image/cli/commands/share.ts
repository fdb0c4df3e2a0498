// storj share
import { UsageError, type Command, type Context } from './command.ts';
import { daysOf, holderFrom } from './grants.ts';
import { baseName, nameOf, remote } from './target.ts';

const DAY_MS = 24 * 3_600_000;

export const share: Command = {
  name: 'share',
  usage: 'share create BUCKET[/PREFIX] | list | renew ID | feed | end ID',
  summary: 'Shows somebody what lies below a prefix, and nothing else',
  details: [
    '',
    '  share create BUCKET/PREFIX    prints a grant to read a log made for them, which the bridge keeps up to date',
    '    --to KEY:BOX                who (storj grants key, on their machine)',
    '    --bearer                    instead: whoever has the text',
    '    --name NAME                 what they see as the bucket',
    '    --days N                    1 to 30',
    '  share list                    those that are open',
    '  share renew ID                prints another grant for the same holder, before (or after) the old one ends;',
    '    --days N                    a bearer opens it with the key in his old text',
    '  share feed                    brings all up to date where no bridge does',
    '  share end ID                  what comes later was never in it',
  ],
  options: { to: { type: 'string' }, bearer: { type: 'boolean' }, name: { type: 'string' }, days: { type: 'string' } },
  takes: [1, 2],
  async run(context) {
    const [what = '', where] = context.args;
    const work = { create, list, renew, feed, end }[what];
    if (work === undefined) throw new UsageError(`share create, list, renew, feed or end, not "${what}".`);
    await work(context, where);
  },
};

async function create({ flags, out, open }: Context, where?: string): Promise<void> {
  if (where === undefined) throw new UsageError('Share what? storj share create BUCKET/PREFIX.');
  const { to, seed } = holderFrom(flags);
  const target = remote(where);
  const storj = await open();
  const { bucketId } = await storj.bucket(target.bucket);
  const name = (flags['name'] as string | undefined) ?? (baseName(target.key) || target.bucket);
  const forMs = daysOf(flags) * DAY_MS;
  const made = await storj.permissions.share({ bucketId, name, prefix: target.key, to, forMs, ...(seed ? { seed } : {}) });
  // A bridge would do it soon; on its own it can be read at once.
  await storj.feedShares();
  out.say({ share: made.shareId, grant: made.grant, of: nameOf(target) }, made.grant);
  out.note(`Share ${made.shareId} of ${nameOf(target)}: end it with storj share end ${made.shareId}.`);
}

async function list({ out, open }: Context): Promise<void> {
  const storj = await open();
  for (const { shareId, bucketId, name, prefix, to } of await storj.permissions.shares()) {
    out.say(
      { share: shareId, bucketId, name, prefix, holder: to.publicKey },
      `${shareId}  ${name}  below "${prefix}"  ${to.publicKey}`,
    );
  }
}

async function renew({ flags, out, open }: Context, shareId?: string): Promise<void> {
  if (shareId === undefined) throw new UsageError('Which share? storj share list shows them.');
  const storj = await open();
  const grant = await storj.permissions.renewShare({ shareId, forMs: daysOf(flags) * DAY_MS });
  out.say({ share: shareId, grant }, grant);
}

async function feed({ out, open }: Context): Promise<void> {
  const storj = await open();
  for (const { shareId, name, fedTo } of await storj.feedShares()) {
    out.say({ share: shareId, name, fedTo }, `${shareId}  ${name}  up to date`);
  }
}

async function end({ out, open }: Context, shareId?: string): Promise<void> {
  if (shareId === undefined) throw new UsageError('Which share? storj share list shows them.');
  const storj = await open();
  await storj.permissions.endShare(shareId);
  out.say({ ended: shareId }, `share ${shareId} ended`);
}
