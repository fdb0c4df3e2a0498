// Files of this machine as sources and targets of transfers, so that what was broken off goes on.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Bucket, ObjectInfo } from '#node/device/open-storj.ts';
import type { ReadableAgain } from '#node/device/put-object.ts';
import { StorjError } from '#node/device/storj-error.ts';

const CHUNK_BYTES = 1024 * 1024;

/** A file as something to put; `resumeAs` names this very state of it. */
export async function fileSource(file: string): Promise<{ source: ReadableAgain; resumeAs: string }> {
  const { size, mtimeMs, ino } = await stat(file);
  const source: ReadableAgain = {
    sizeBytes: size,
    async *read(offset, length) {
      if (length > 0) yield* createReadStream(file, { start: offset, end: offset + length - 1, highWaterMark: CHUNK_BYTES });
    },
  };
  return { source, resumeAs: `${resolve(file)} ${mtimeMs} ${ino}` };
}

/** Every file below a folder, with its path from there. */
export async function* filesBelow(folder: string, below = ''): AsyncGenerator<{ file: string; path: string }, void, undefined> {
  const entries = await readdir(join(folder, below), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(folder, path);
    else if (entry.isFile()) yield { file: join(folder, path), path };
  }
}

export async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/**
 * The object into a file, which appears when it is whole. What an earlier attempt at this very version left is
 * gone on with; where the etag is an MD5 the whole is checked against it in the end.
 */
export async function download(input: {
  bucket: Bucket;
  key: string;
  file: string;
  onProgress: (doneBytes: number) => void;
  asKnown?: boolean;
  signal: AbortSignal;
}): Promise<ObjectInfo> {
  const { bucket, key, file, onProgress, asKnown = false, signal } = input;
  const info = await bucket.head(key, { asKnown });
  await mkdir(dirname(file), { recursive: true });
  const part = join(dirname(file), `.${basename(file)}.${info.versionId.slice(0, 12)}.part`);
  const md5 = createHash('md5');
  const target = await open(part, 'a+', 0o644);
  try {
    let doneBytes = (await target.stat()).size;
    if (doneBytes > info.sizeBytes) await target.truncate((doneBytes = 0));
    if (doneBytes > 0)
      for await (const chunk of createReadStream(part, { highWaterMark: CHUNK_BYTES })) md5.update(chunk as Buffer);
    onProgress(doneBytes);
    const { info: now, body } = await bucket.get(key, { offset: doneBytes, asKnown: true, signal });
    if (now.versionId !== info.versionId) throw changed(key);
    for await (const chunk of body) {
      md5.update(chunk);
      await target.appendFile(chunk);
      doneBytes += chunk.length;
      onProgress(doneBytes);
    }
  } finally {
    await target.close();
  }
  if (/^[0-9a-f]{32}$/.test(info.etag) && md5.digest('hex') !== info.etag) {
    await rm(part, { force: true });
    throw new StorjError('Changed', `What an earlier attempt had left of "${key}" was damaged and is gone now: get it again.`);
  }
  await rename(part, file);
  return info;
}

const changed = (key: string) => new StorjError('Changed', `"${key}" was replaced while it was being read: get it again.`);

/** At most so many at once; the first that fails ends it when the others under way have ended. */
export async function eachOf<T>(items: AsyncIterable<T>, atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  for await (const item of items) {
    const one: Promise<void> = work(item)
      .catch((error: unknown) => void failures.push(error))
      .finally(() => running.delete(one));
    running.add(one);
    if (running.size >= atOnce) await Promise.race(running);
    if (failures.length > 0) break;
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
}
