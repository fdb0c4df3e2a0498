// storj rm
import { StorjError } from '#node/device/storj-error.ts';
import type { Bucket } from '#node/device/open-storj.ts';
import type { Command } from './command.ts';
import { eachOf } from './local-files.ts';
import { nameOf, remote, remoteObject } from './target.ts';

/** Their log entries share batches. */
const AT_ONCE = 32;

export const rm: Command = {
  name: 'rm',
  usage: 'rm BUCKET/KEY… [--recursive]',
  summary: 'Deletes objects, or all below a prefix',
  details: ['', '  -r, --recursive   every object whose key begins with KEY; BUCKET/ alone empties the bucket'],
  options: { recursive: { type: 'boolean', short: 'r' } },
  takes: [1, Infinity],
  async run({ args, flags, out, open }) {
    const isDeep = flags['recursive'] === true;
    const targets = args.map(isDeep ? remote : remoteObject);
    const storj = await open();
    if (isDeep) {
      for (const { bucket, key } of targets) {
        const progress = out.counting(nameOf({ bucket, key }), 'objects deleted');
        const removed = await removeBelow(await storj.bucket(bucket), key, () => progress.add(1));
        out.say({ removed, below: nameOf({ bucket, key }) }, `${removed} objects deleted below ${nameOf({ bucket, key })}`);
      }
      return;
    }
    const missing: string[] = [];
    const buckets = new Map<string, Bucket>();
    for (const { bucket } of targets) if (!buckets.has(bucket)) buckets.set(bucket, await storj.bucket(bucket));
    await eachOf(asyncOf(targets), AT_ONCE, async (target) => {
      const name = nameOf(target);
      if (await buckets.get(target.bucket)!.remove(target.key)) out.say({ removed: name }, `${name} deleted`);
      else missing.push(name);
    });
    if (missing.length > 0) throw new StorjError('NoSuchKey', `There is no ${missing.join(', ')}.`);
  },
};

async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T, void, undefined> {
  yield* items;
}

async function removeBelow(bucket: Bucket, prefix: string, onRemoved: () => void): Promise<number> {
  let removed = 0;
  await eachOf(bucket.list({ prefix }), AT_ONCE, async (item) => {
    if (item.kind !== 'object' || !(await bucket.remove(item.object.key, { asKnown: true }))) return;
    removed++;
    onRemoved();
  });
  return removed;
}
