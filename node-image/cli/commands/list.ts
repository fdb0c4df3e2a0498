// storj ls
import type { Command } from './command.ts';
import { sizeText, timeText } from './output.ts';
import { remote } from './target.ts';

export const ls: Command = {
  name: 'ls',
  usage: 'ls [BUCKET[/PREFIX]] [--recursive]',
  summary: 'Lists buckets, or what is in one',
  details: ['', '  -r, --recursive   every object instead of one level'],
  options: { recursive: { type: 'boolean', short: 'r' } },
  takes: [0, 1],
  async run({ args, flags, out, open }) {
    const storj = await open();
    const [where] = args;
    if (where === undefined) {
      for (const { name, createdMs } of await storj.buckets()) {
        // A grant doesn't say when.
        const time = createdMs === 0 ? '' : timeText(createdMs);
        out.say({ bucket: name, createdMs: createdMs === 0 ? null : createdMs }, `${time.padEnd(19)}  ${name}`);
      }
      return;
    }
    const { bucket: name, key: prefix } = remote(where);
    const bucket = await storj.bucket(name);
    for await (const item of bucket.list({ prefix, delimiter: flags['recursive'] === true ? '' : '/' })) {
      if (item.kind === 'prefix') out.say({ prefix: item.prefix }, `${''.padEnd(33)}${item.prefix}`);
      else {
        const { key, sizeBytes, etag, modifiedMs } = item.object;
        out.say({ key, sizeBytes, etag, modifiedMs }, `${timeText(modifiedMs)}  ${sizeText(sizeBytes).padStart(10)}  ${key}`);
      }
    }
  },
};
