// storj put
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { UsageError, type Command, type Flags } from './command.ts';
import { namedFile } from './local-errors.ts';
import { fileSource, isFolder } from './local-files.ts';
import { baseName, keyInto, nameOf, remote, remoteObject } from './target.ts';

export const put: Command = {
  name: 'put',
  usage: 'put FILE|- BUCKET[/KEY] [--content-type TYPE] [--meta NAME=VALUE]',
  summary: 'Stores a file, or standard input, as an object',
  details: [
    '',
    '  --content-type TYPE   kept with the object',
    '  --meta NAME=VALUE     kept with the object as x-amz-meta-NAME; again for more',
    'A file larger than 64 MB goes up in parts: broken off and put again, it goes on with the next part.',
  ],
  options: { 'content-type': { type: 'string' }, meta: { type: 'string', multiple: true } },
  takes: [2, 2],
  async run({ args, flags, out, open, stdin, signal }) {
    const [file = '', to = ''] = args;
    const isPipe = file === '-';
    if (isPipe && flags['words-file'] === '-')
      throw new UsageError('Standard input can carry the words or the object, not both.');
    if (!isPipe && (await isFolder(file))) throw new UsageError(`${file} is a folder: storj cp -r ${file} sj://${to}`);
    const sizeBytes = isPipe ? null : (await namedFile(stat(file))).size;
    const target = isPipe ? remoteObject(to) : remote(to);
    const key = isPipe ? target.key : keyInto(target, file);
    const storj = await open();
    const bucket = await storj.bucket(target.bucket);
    const progress = out.progress(baseName(key), sizeBytes);
    const { source, ...resume } = isPipe ? { source: bytesOf(stdin) } : await fileSource(file);
    const info = await bucket.put(key, source, {
      ...resume,
      headers: headersFrom(flags),
      onProgress: (done) => progress.to(done),
      signal,
    });
    progress.end();
    const name = nameOf({ bucket: target.bucket, key });
    out.say({ to: name, sizeBytes: info.sizeBytes, etag: info.etag, versionId: info.versionId }, `${file} → ${name}`);
  },
};

async function* bytesOf(stdin: Readable): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of stdin) yield chunk as Buffer;
}

function headersFrom(flags: Flags): Record<string, string> {
  const type = flags['content-type'] as string | undefined;
  const meta = ((flags['meta'] as string[] | undefined) ?? []).map((text) => {
    const at = text.indexOf('=');
    if (at < 1) throw new UsageError(`--meta takes NAME=VALUE, not "${text}".`);
    return [`x-amz-meta-${text.slice(0, at).toLowerCase()}`, text.slice(at + 1)] as const;
  });
  return { ...(type === undefined ? {} : { 'content-type': type }), ...Object.fromEntries(meta) };
}
