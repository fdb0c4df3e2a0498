// A tar writer whose output depends on the entries alone: fixed times, owners and order. Plain ustar,
// with a pax header only where a path or link doesn't fit in it.
import { createReadStream, statSync } from 'node:fs';

export interface TarEntry {
  /** Without a leading slash; folders without a trailing one. */
  readonly path: string;
  readonly mode: number;
  readonly content: { readonly bytes: Uint8Array } | { readonly file: string } | { readonly linkTo: string } | 'folder';
}

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
/** 11 octal digits. */
const MAX_FILE_BYTES = 0o77777777777;

/** The archive's bytes. Entries are sorted by path, and each folder above one is added where it is missing. */
export async function* tarChunks(entries: readonly TarEntry[]): AsyncGenerator<Uint8Array> {
  for (const entry of withFolders(entries)) {
    const { content } = entry;
    const link = typeof content === 'object' && 'linkTo' in content ? content.linkTo : '';
    const sizeBytes = contentSize(entry);
    if (!fitsUstar(entry.path) || Buffer.byteLength(link) > NAME_BYTES) yield* paxHeader(entry.path, link);
    yield header(entry.path, { mode: entry.mode, sizeBytes, link, type: content === 'folder' ? '5' : link === '' ? '0' : '2' });
    if (typeof content !== 'object' || 'linkTo' in content) continue;
    if ('bytes' in content) yield content.bytes;
    else yield* fileBytes(content.file, sizeBytes);
    yield padding(sizeBytes);
  }
  yield Buffer.alloc(2 * BLOCK_BYTES);
}

function withFolders(entries: readonly TarEntry[]): TarEntry[] {
  const all = new Map<string, TarEntry>();
  for (const entry of entries) {
    if (!/^[^/]/.test(entry.path) || entry.path.endsWith('/') || entry.path.split('/').includes('..')) {
      throw new RangeError(`tar path ${JSON.stringify(entry.path)}: want a relative path without "..", and no slash at its ends`);
    }
    if (all.has(entry.path) && all.get(entry.path)?.content !== 'folder')
      throw new RangeError(`tar path ${entry.path} is there twice`);
    all.set(entry.path, entry);
  }
  for (const { path } of entries) {
    const parts = path.split('/');
    for (let depth = 1; depth < parts.length; depth += 1) {
      const folder = parts.slice(0, depth).join('/');
      if (!all.has(folder)) all.set(folder, { path: folder, mode: 0o755, content: 'folder' });
    }
  }
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function contentSize({ content, path }: TarEntry): number {
  if (content === 'folder' || 'linkTo' in content) return 0;
  const size = 'bytes' in content ? content.bytes.length : statSync(content.file).size;
  if (size > MAX_FILE_BYTES) throw new RangeError(`${path} has ${size} bytes; this tar writer goes to 8 GiB`);
  return size;
}

async function* fileBytes(file: string, sizeBytes: number): AsyncGenerator<Uint8Array> {
  let seen = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    const bytes = chunk as Buffer;
    seen += bytes.length;
    yield bytes;
  }
  if (seen !== sizeBytes) throw new Error(`${file} changed while it was read: ${seen} bytes instead of ${sizeBytes}`);
}

function padding(sizeBytes: number): Uint8Array {
  return Buffer.alloc((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** [prefix, name] as ustar wants them, or undefined where the path is too long. */
function splitPath(path: string): [string, string] | undefined {
  if (Buffer.byteLength(path) <= NAME_BYTES) return ['', path];
  for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
    const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)];
    if (Buffer.byteLength(prefix) <= PREFIX_BYTES && Buffer.byteLength(name) <= NAME_BYTES) return [prefix, name];
  }
  return undefined;
}

function fitsUstar(path: string): boolean {
  return splitPath(path) !== undefined && /^[\x20-\x7e]*$/.test(path);
}

function* paxHeader(path: string, link: string): Generator<Uint8Array> {
  const record = (key: string, value: string) => {
    const body = Buffer.byteLength(` ${key}=${value}\n`);
    let length = body + 1;
    while (String(length).length + body !== length) length = String(length).length + body;
    return `${length} ${key}=${value}\n`;
  };
  const bytes = Buffer.from(`${record('path', path)}${link === '' ? '' : record('linkpath', link)}`);
  yield header('pax', { mode: 0o644, sizeBytes: bytes.length, link: '', type: 'x' });
  yield bytes;
  yield padding(bytes.length);
}

function header(path: string, entry: { mode: number; sizeBytes: number; link: string; type: string }): Uint8Array {
  const [prefix, name] = splitPath(path) ?? ['', path];
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, offset: number, digits: number) =>
    block.write(`${value.toString(8).padStart(digits, '0')}\0`, offset);
  block.write(Buffer.from(name).subarray(0, NAME_BYTES).toString('latin1'), 0, 'latin1');
  octal(entry.mode, 100, 7);
  octal(0, 108, 7); // owner and group: root
  octal(0, 116, 7);
  octal(entry.sizeBytes, 124, 11);
  octal(0, 136, 11); // 1970
  block.write('        ', 148); // the checksum counts itself as spaces
  block.write(entry.type, 156);
  block.write(Buffer.from(entry.link).subarray(0, NAME_BYTES).toString('latin1'), 157, 'latin1');
  block.write('ustar\x0000', 257);
  block.write(prefix, 345);
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return block;
}
