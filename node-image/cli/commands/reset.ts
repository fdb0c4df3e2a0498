// storj reset
import type { LeftOfBucket } from '#node/device/reset.ts';
import { UsageError, type Command } from './command.ts';
import { timeText } from './output.ts';
import { remote } from './target.ts';

export const reset: Command = {
  name: 'reset',
  usage: 'reset [BUCKET | --account] [--yes]',
  summary: 'After farmers were restored from old back-ups: accepts what they still have, and goes on from there',
  details: [
    '',
    '  reset             says of each bucket up to when it is there and what is known to be lost; changes nothing',
    '  reset BUCKET      the same of one bucket, and refuses without --yes',
    '  --account         instead of BUCKET: the list of buckets and settings',
    "  --yes             signs it. It can't be taken back, and needs the words",
    'Until then neither bridge nor devices read or write a bucket of which they know that more was acknowledged. First bring',
    'back every farmer that there is: what one of them still has is not lost.',
  ],
  options: { account: { type: 'boolean' }, yes: { type: 'boolean' } },
  takes: [0, 1],
  async run({ args, flags, out, open }) {
    const isAccount = flags['account'] === true;
    const name = args[0] === undefined ? null : remote(args[0]).bucket;
    if (isAccount && name !== null) throw new UsageError('Either a bucket or --account.');
    const isYes = flags['yes'] === true;
    if (isYes && name === null && !isAccount) throw new UsageError('Reset what? Name a bucket, or --account.');
    const storj = await open();
    const all = await storj.resets.left();
    const wanted = all.filter((one) => (isAccount ? one.name === null : name === null || one.name === name));
    // Lets it say that there is no such bucket.
    if (name !== null && wanted.length === 0) await storj.bucket(name);
    for (const one of wanted) out.say({ bucket: one.name, ...one }, textOf(one));
    if (name === null && !isAccount) return;
    if (!isYes) throw new UsageError('Nothing was changed. If this is what shall count from now on, say it again with --yes.');
    for (const { bucketId } of wanted) await storj.resets.accept(bucketId);
    const what = name ?? 'the account';
    out.say({ reset: what }, `${what} counts from here on. What was lost is lost for good.`);
  },
};

/** Pure: for people. */
export function textOf({ name, replicas, logs }: LeftOfBucket & { name: string | null }): string {
  const { members, answering } = replicas;
  const silent = members - answering;
  const lines = logs.map(({ writer, seq, lastMs, lostBatches }) => {
    const kept = lastMs === null ? 'nothing is left' : `kept: ${seq} batches until ${timeText(lastMs)}`;
    return `  writer ${writer.slice(0, 16)}  ${kept}; ${lostBatches === 0 ? 'nothing known to be lost' : `LOST: ${lostBatches} batches after that`}`;
  });
  return [
    name === null ? 'the account (buckets and settings)' : `bucket ${name}`,
    ...(silent > 0 ? [`  ${silent} of its ${members} farmers don't answer: they may have more. Bring them back first.`] : []),
    ...lines,
  ].join('\n');
}
