// storj cp, storj mv: between files and objects, and among objects, where no byte moves. The farmers are asked
// once what there is, not for each object again.
import { rm as removeFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Storj } from '#node/device/open-storj.ts';
import { UsageError, type Command, type Context } from './command.ts';
import { namedFile } from './local-errors.ts';
import { download, eachOf, filesBelow, fileSource, isFolder } from './local-files.ts';
import type { Progress } from './output.ts';
import { baseName, keyInto, nameOf, remoteOrNull, type Remote } from './target.ts';

const AT_ONCE = 8;

const common = {
  options: { recursive: { type: 'boolean', short: 'r' } },
  takes: [2, 2],
  details: [
    '',
    '  -r, --recursive   a folder, or all below a prefix',
    'Objects are sj://BUCKET/KEY here; anything else is a file or a folder.',
  ],
} as const;

export const cp: Command = {
  ...common,
  name: 'cp',
  usage: 'cp FROM TO [--recursive]',
  summary: 'Copies files and objects in any direction',
  run: (context) => transfer(context, false),
};
export const mv: Command = {
  ...common,
  name: 'mv',
  usage: 'mv FROM TO [--recursive]',
  summary: 'Copies, then deletes what was copied',
  run: (context) => transfer(context, true),
};

/** One thing to copy, and how to delete it afterwards. */
interface Step {
  from: string;
  to: string;
  copy: (progress: Progress) => Promise<number>;
  remove: () => Promise<unknown>;
}

async function transfer(context: Context, isMove: boolean): Promise<void> {
  const { args, flags, out, open } = context;
  const [from = '', to = ''] = args;
  const [source, target] = [remoteOrNull(from), remoteOrNull(to)];
  if (source === null && target === null) throw new UsageError('One of the two has to be an object: sj://BUCKET/KEY.');
  const isDeep = flags['recursive'] === true;
  if (!isDeep && (source === null ? await isFolder(from) : source.key === '' || source.key.endsWith('/'))) {
    throw new UsageError(`${from} is more than one thing: add --recursive.`);
  }
  if (source === null) await namedFile(stat(from));
  const storj = await open();
  const steps =
    source === null
      ? uploads(storj, from, target!, isDeep, context.signal)
      : target === null
        ? downloads(storj, source, to, isDeep, context.signal)
        : copies(storj, source, target, isDeep);
  const progress = out.progress(isDeep ? from : baseName(from), isDeep ? null : await sizeOf(storj, from, source));
  let count = 0;
  await eachOf(steps, isDeep ? AT_ONCE : 1, async (step) => {
    const sizeBytes = await step.copy(progress);
    if (isMove) await step.remove();
    count++;
    out.say({ from: step.from, to: step.to, sizeBytes }, `${step.from} → ${step.to}`);
  });
  progress.end();
  if (count === 0) out.note('nothing to copy');
}

async function sizeOf(storj: Storj, from: string, source: Remote | null): Promise<number> {
  if (source === null) return (await stat(from)).size;
  return (await (await storj.bucket(source.bucket)).head(source.key)).sizeBytes;
}

/** What a transfer adds to a shared progress line. */
function share(progress: Progress): (doneBytes: number) => void {
  let before = 0;
  return (doneBytes) => {
    progress.add(doneBytes - before);
    before = doneBytes;
  };
}

async function* uploads(
  storj: Storj,
  from: string,
  target: Remote,
  isDeep: boolean,
  signal: AbortSignal,
): AsyncGenerator<Step, void, undefined> {
  const bucket = await storj.bucket(target.bucket);
  const base = target.key === '' || target.key.endsWith('/') ? target.key : `${target.key}/`;
  const step = (file: string, key: string): Step => ({
    from: file,
    to: nameOf({ bucket: target.bucket, key }),
    async copy(progress) {
      const { source, resumeAs } = await fileSource(file);
      return (await bucket.put(key, source, { resumeAs, onProgress: share(progress), asKnown: true, signal })).sizeBytes;
    },
    remove: () => removeFile(file),
  });
  if (!isDeep) yield step(from, keyInto(target, from));
  else for await (const { file, path } of filesBelow(from)) yield step(file, `${base}${path}`);
}

async function* downloads(
  storj: Storj,
  source: Remote,
  to: string,
  isDeep: boolean,
  signal: AbortSignal,
): AsyncGenerator<Step, void, undefined> {
  const bucket = await storj.bucket(source.bucket);
  const step = (key: string, file: string): Step => ({
    from: nameOf({ bucket: source.bucket, key }),
    to: file,
    copy: async (progress) =>
      (await download({ bucket, key, file, onProgress: share(progress), asKnown: true, signal })).sizeBytes,
    remove: () => bucket.remove(key, { asKnown: true }),
  });
  if (!isDeep) {
    yield step(source.key, (await isFolder(to)) ? join(to, baseName(source.key)) : to);
    return;
  }
  for await (const { key, path } of keysBelow(storj, source)) {
    // A key may be anything; a file may only be below the folder.
    if (path.split('/').some((part) => part === '..' || part === '')) {
      throw new UsageError(`The object "${key}" can't be a file below ${to}: get it alone, with a name for it.`);
    }
    yield step(key, join(to, path));
  }
}

async function* copies(storj: Storj, source: Remote, target: Remote, isDeep: boolean): AsyncGenerator<Step, void, undefined> {
  const bucket = await storj.bucket(source.bucket);
  const base = target.key === '' || target.key.endsWith('/') ? target.key : `${target.key}/`;
  const step = (key: string, toKey: string): Step => ({
    from: nameOf({ bucket: source.bucket, key }),
    to: nameOf({ bucket: target.bucket, key: toKey }),
    copy: async () => (await bucket.copy(key, { bucket: target.bucket, key: toKey }, { asKnown: true })).sizeBytes,
    remove: async () =>
      source.bucket === target.bucket && key === toKey ? undefined : await bucket.remove(key, { asKnown: true }),
  });
  if (!isDeep) yield step(source.key, keyInto(target, source.key));
  else for await (const { key, path } of keysBelow(storj, source)) yield step(key, `${base}${path}`);
}

/** Keys below a prefix, with the rest of each behind the prefix's last `/`. */
async function* keysBelow(
  storj: Storj,
  { bucket, key: prefix }: Remote,
): AsyncGenerator<{ key: string; path: string }, void, undefined> {
  const from = prefix.lastIndexOf('/') + 1;
  for await (const item of (await storj.bucket(bucket)).list({ prefix })) {
    if (item.kind === 'object') yield { key: item.object.key, path: item.object.key.slice(from) };
  }
}
