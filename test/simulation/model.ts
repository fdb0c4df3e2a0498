// What the world's clients were told, and so what may be read: a write that was acknowledged is there until a
// later one takes its place; one whose end nobody knows may have happened or not; one that a later acknowledged
// write has overtaken never comes back.

export interface Write {
  readonly id: number;
  readonly key: string;
  readonly kind: 'put' | 'delete';
  readonly sizeBytes: number;
  readonly startMs: number;
  /** When its client heard the end of it, or its bridge died. */
  endMs: number;
  ackMs: number | null;
  /** The bridge that took it. */
  readonly via: string;
}

/** Every object begins with it; no farmer's disk may hold it. */
export const MARKER = 'PLAIN-TEXT-OF-THE-OWNER';

/** The bytes of a put: its number, the marker, and noise. */
export function bodyOf({ id, sizeBytes }: Pick<Write, 'id' | 'sizeBytes'>): Uint8Array {
  const bytes = Buffer.alloc(sizeBytes);
  let state = (id * 2_654_435_761) >>> 0 || 1;
  for (let at = 0; at + 4 <= sizeBytes; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    bytes.writeUInt32LE(state, at);
  }
  bytes.write(`${String(id).padStart(6, '0')} ${MARKER} `, 0, 'latin1');
  return bytes;
}

/** Smallest object that can carry its number and the marker. */
export const MIN_BODY_BYTES = 8 + MARKER.length;

export class Model {
  readonly writes: Write[] = [];

  begin(write: Pick<Write, 'key' | 'kind' | 'sizeBytes' | 'startMs' | 'via'>): Write {
    const begun: Write = { ...write, id: this.writes.length + 1, endMs: Infinity, ackMs: null };
    this.writes.push(begun);
    return begun;
  }
  /** It is known that it never happened. */
  forget(write: Write): void {
    this.writes.splice(this.writes.indexOf(write), 1, { ...write, key: '' });
  }
  keys(): string[] {
    return [...new Set(this.writes.map(({ key }) => key))].filter((key) => key !== '').sort();
  }

  /**
   * Why `found` (an object's bytes, or null for nothing) can't be what is under the key; null where it can.
   * `counts`: acknowledged writes that the reader has to know of.
   */
  problem(key: string, found: Uint8Array | null, counts: (write: Write) => boolean): string | null {
    const ours = this.writes.filter((write) => write.key === key);
    const overtaken = (endMs: number) => ours.find((later) => later.ackMs !== null && counts(later) && later.startMs > endMs);
    if (found !== null) {
      const id = Number.parseInt(Buffer.from(found.subarray(0, 6)).toString('latin1'), 10);
      const write = ours.find((one) => one.id === id && one.kind === 'put');
      if (!write || Buffer.compare(found, bodyOf(write)) !== 0) return `${key} has bytes that nobody wrote there`;
      const later = overtaken(write.endMs);
      return later ? `${key} is write ${write.id}, but ${story(later)} was acknowledged after it` : null;
    }
    const missing = overtaken(-1);
    if (!missing) return null;
    const mayBeGone = ours.some((one) => one.kind === 'delete' && !overtaken(one.endMs));
    return mayBeGone ? null : `${key} isn't there, but ${story(missing)} was acknowledged`;
  }
}

function story({ kind, id, via }: Write): string {
  return `${kind} ${id} by ${via}`;
}
