// Where each member of a tar file lies, so that one can be read without the others. Reads what
// tar.ts writes: ustar with pax headers.
import { open } from 'node:fs/promises';

export interface TarMember {
  readonly path: string;
  readonly mode: number;
  readonly userId: number;
  /** '0' file, '2' symbolic link, '5' folder. */
  readonly type: string;
  readonly linkTo: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

const BLOCK_BYTES = 512;
const MAX_PAX_BYTES = 1 << 20;

/** Members by path, in the file's order; offset is within the file. Throws where the archive is cut or damaged. */
export async function tarMembers(file: string): Promise<Map<string, TarMember>> {
  await using handle = await open(file, 'r');
  const members = new Map<string, TarMember>();
  const read = async (position: number, length: number) => {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, position);
    if (bytesRead < length) throw new Error(`${file} is cut at ${position + bytesRead} bytes: make it anew`);
    return buffer;
  };
  let pax: Record<string, string> = {};
  for (let position = 0; ;) {
    const header = await read(position, BLOCK_BYTES);
    if (header.every((byte) => byte === 0)) return members;
    const text = (offset: number, length: number) => {
      const field = header.subarray(offset, offset + length);
      const end = field.indexOf(0);
      return field.subarray(0, end < 0 ? length : end).toString('utf8');
    };
    const octal = (offset: number, length: number) => Number.parseInt(text(offset, length).trim() || '0', 8);
    const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
    if (sum !== octal(148, 8)) throw new Error(`${file} is damaged at ${position} bytes: make it anew`);
    const sizeBytes = octal(124, 12);
    const offset = position + BLOCK_BYTES;
    const type = text(156, 1);
    position = offset + Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    if (type === 'x') {
      pax = paxRecords(await read(offset, Math.min(sizeBytes, MAX_PAX_BYTES)));
      continue;
    }
    const prefix = text(345, 155);
    const path = pax['path'] ?? (prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`);
    const linkTo = pax['linkpath'] ?? text(157, 100);
    members.set(path, { path, mode: octal(100, 8), userId: octal(108, 8), type, linkTo, offset, sizeBytes });
    pax = {};
  }
}

function paxRecords(bytes: Buffer): Record<string, string> {
  const records: Record<string, string> = {};
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.subarray(at, space).toString('latin1'));
    if (space < 0 || !Number.isInteger(length) || length <= space - at) throw new Error('a pax header is damaged');
    const [key = '', ...value] = bytes
      .subarray(space + 1, at + length - 1)
      .toString('utf8')
      .split('=');
    records[key] = value.join('=');
    at += length;
  }
  return records;
}
