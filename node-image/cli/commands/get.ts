// storj get
import { join } from 'node:path';
import { once } from 'node:events';
import { UsageError, type Command } from './command.ts';
import { download, isFolder } from './local-files.ts';
import { baseName, nameOf, remoteObject } from './target.ts';

export const get: Command = {
  name: 'get',
  usage: 'get BUCKET/KEY [FILE|-] [--range FIRST-LAST]',
  summary: 'Reads an object into a file, or to standard output',
  details: [
    '',
    '  --range 0-99      only these bytes, the last included; 100- = from there to the end. To standard output.',
    'A whole object goes through a hidden .part file beside FILE; what was broken off goes on there.',
  ],
  options: { range: { type: 'string' } },
  takes: [1, 2],
  async run({ args, flags, out, open, stdout, signal }) {
    const target = remoteObject(args[0]!);
    const range = rangeOf(flags['range'] as string | undefined);
    const storj = await open();
    const bucket = await storj.bucket(target.bucket);
    const given = args[1] ?? (range === null ? baseName(target.key) : '-');
    if (given === '-' || range !== null) {
      if (given !== '-') throw new UsageError('A range goes to standard output: leave FILE out.');
      const { body } = await bucket.get(target.key, { ...range, signal });
      for await (const chunk of body) if (!stdout.write(chunk)) await once(stdout, 'drain');
      return;
    }
    const file = (await isFolder(given)) ? join(given, baseName(target.key)) : given;
    const { sizeBytes } = await bucket.head(target.key);
    const progress = out.progress(baseName(target.key), sizeBytes);
    const info = await download({
      bucket,
      key: target.key,
      file,
      onProgress: (done) => progress.to(done),
      asKnown: true,
      signal,
    });
    progress.end();
    out.say({ from: nameOf(target), file, sizeBytes: info.sizeBytes, etag: info.etag }, `${nameOf(target)} → ${file}`);
  },
};

/** "5-9" → 5 bytes from 5. Throws UsageError. */
export function rangeOf(text: string | undefined): { offset: number; length?: number } | null {
  if (text === undefined) return null;
  const [, first = '', last = ''] = /^(\d+)-(\d*)$/.exec(text) ?? [];
  if (first === '' || (last !== '' && Number(last) < Number(first))) {
    throw new UsageError(`A range is FIRST-LAST or FIRST-, not "${text}".`);
  }
  return { offset: Number(first), ...(last === '' ? {} : { length: Number(last) - Number(first) + 1 }) };
}
