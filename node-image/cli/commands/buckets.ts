// storj mb, storj rb
import { UsageError, type Command } from './command.ts';

export const mb: Command = {
  name: 'mb',
  usage: 'mb BUCKET',
  summary: 'Makes a bucket (needs the words)',
  details: [],
  options: {},
  takes: [1, 1],
  async run({ args, out, open }) {
    const name = args[0]!;
    if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
      throw new UsageError(`A bucket's name has 3 to 63 small letters, digits, dots and hyphens; "${name}" is none.`);
    }
    const storj = await open();
    await storj.createBucket(name);
    out.say({ bucket: name }, `bucket ${name} made`);
  },
};

export const rb: Command = {
  name: 'rb',
  usage: 'rb BUCKET',
  summary: 'Takes an empty bucket away',
  details: [],
  options: {},
  takes: [1, 1],
  async run({ args, out, open }) {
    const storj = await open();
    await storj.removeBucket(args[0]!);
    out.say({ removed: args[0] }, `bucket ${args[0]} deleted`);
  },
};
