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
  usage: 'rm BUCKET/KEY [--recursive]',
  summary: 'Deletes an object, or all below a prefix',
  details: ['', '  -r, --recursive   every object whose key begins with KEY; BUCKET/ alone empties the bucket'],
  options: { recursive: { type: 'boolean', short: 'r' } },
  takes: [1, 1],
  async run({ args, flags, out, open }) {
    const isDeep = flags['recursive'] === true;
    const target = isDeep ? remote(args[0]!) : remoteObject(args[0]!);
    const storj = await open();
    const bucket = await storj.bucket(target.bucket);
    if (isDeep) {
      const removed = await removeBelow(bucket, target.key);
      return out.say({ removed }, `${removed} objects deleted`);
    }
    if (!(await bucket.remove(target.key))) throw new StorjError('NoSuchKey', `There is no ${nameOf(target)}.`);
    out.say({ removed: 1, key: target.key }, `${nameOf(target)} deleted`);
  },
};

async function removeBelow(bucket: Bucket, prefix: string): Promise<number> {
  let removed = 0;
  await eachOf(bucket.list({ prefix }), AT_ONCE, async (item) => {
    if (item.kind === 'object' && (await bucket.remove(item.object.key))) removed++;
  });
  return removed;
}
