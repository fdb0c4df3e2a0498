// What the world's clients were told, and so what may be read: a write that was acknowledged is there until a
// later one takes its place; one whose end nobody knows may have happened or not; one that a later acknowledged
// write has overtaken never comes back.

export interface Write {
  readonly id: number;
  readonly key: string;
  readonly kind: 'put' | 'delete';
  readonly sizeBytes: number;
  /** The write whose bytes these are: itself, or what it copied. */
  readonly contentId: number;
  readonly startMs: number;
  /** When its client heard the end of it, or its bridge died. */
  endMs: number;
  ackMs: number | null;
  /** The bridge that took it, or the device. */
  readonly via: string;
  /** By a device, which read all there was before it decided; bridges hear of that a moment later. */
  readonly isDirect: boolean;
  /** Begun under a grant that had ended or doesn't name the key: nobody may ever see it. */
  readonly isVoid: boolean;
}

/** Every object begins with it; no farmer's disk may hold it. */
export const MARKER = 'PLAIN-TEXT-OF-THE-OWNER';

/** The bytes of a put: the number of the one who wrote them first, the marker, and noise. */
export function contentOf({ contentId, sizeBytes }: Pick<Write, 'contentId' | 'sizeBytes'>): Uint8Array {
  const bytes = Buffer.alloc(sizeBytes);
  let state = (contentId * 2_654_435_761) >>> 0 || 1;
  for (let at = 0; at + 4 <= sizeBytes; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    bytes.writeUInt32LE(state, at);
  }
  bytes.write(`${String(contentId).padStart(6, '0')} ${MARKER} `, 0, 'latin1');
  return bytes;
}

/** Smallest object that can carry its number and the marker. */
export const MIN_BODY_BYTES = 8 + MARKER.length;

export class Model {
  readonly writes: Write[] = [];

  begin(
    write: Pick<Write, 'key' | 'kind' | 'sizeBytes' | 'startMs' | 'via'> &
      Partial<Pick<Write, 'contentId' | 'isDirect' | 'isVoid'>>,
  ): Write {
    const id = this.writes.length + 1;
    const begun: Write = { contentId: id, isDirect: false, isVoid: false, ...write, id, endMs: Infinity, ackMs: null };
    this.writes.push(begun);
    return begun;
  }
  keys(): string[] {
    return [...new Set(this.writes.map(({ key }) => key))].sort();
  }

  /** A bridge that has taken over has shown it: it is there for good, whatever its writer was told. */
  shown(key: string, found: Uint8Array, atMs: number): void {
    const id = writeIn(found);
    const writes = this.writes.filter((one) => one.key === key && one.contentId === id && one.kind === 'put' && !one.isVoid);
    const [write] = writes;
    if (write && writes.length === 1 && !write.isDirect) write.ackMs ??= atMs;
  }

  /**
   * Why `found` (an object's bytes, or null for nothing) can't be what is under the key; null where it can.
   * `counts`: acknowledged writes that the reader has to know of.
   */
  problem(key: string, found: Uint8Array | null, counts: (write: Write) => boolean): string | null {
    const ours = this.writes.filter((write) => write.key === key);
    const counting = ours.filter((write) => write.ackMs !== null && counts(write));
    if (found !== null) {
      const id = writeIn(found);
      // The same bytes may have been copied there more than once.
      const writes = ours.filter((one) => one.contentId === id && one.kind === 'put');
      const write = writes.find(({ isVoid }) => !isVoid);
      if (writes[0] && !write) return `${key} is write ${id}, which its writer's grant doesn't allow`;
      if (!write || Buffer.compare(found, contentOf(write)) !== 0) return `${key} has bytes that nobody wrote there`;
      const laters = writes.map((one) => counting.find((later) => overtakes(later, one)));
      const [later] = laters;
      return later && laters.every((one) => one)
        ? `${key} is write ${write.id}, but ${story(later)} was acknowledged after it`
        : null;
    }
    const missing = counting.at(-1);
    if (!missing) return null;
    const mayBeGone = ours.some(
      (one) => one.kind === 'delete' && !one.isVoid && !counting.some((later) => overtakes(later, one)),
    );
    return mayBeGone ? null : `${key} isn't there, but ${story(missing)} was acknowledged`;
  }
}

function writeIn(bytes: Uint8Array): number {
  return Number.parseInt(Buffer.from(bytes.subarray(0, 6)).toString('latin1'), 10);
}

/**
 * A delete takes nothing that comes later; of what a device has just written a bridge may not know yet. A device knows
 * what was acknowledged before it began: what had no end then, as the last batch of a bridge that died, may come after.
 */
function overtakes(later: Write, earlier: Write): boolean {
  if (later.startMs <= earlier.endMs) return false;
  if (later.isDirect && later.via !== earlier.via) return earlier.ackMs !== null && earlier.ackMs < later.startMs;
  return earlier.kind === 'delete' || later.isDirect || !earlier.isDirect;
}

function story({ kind, id, via }: Write): string {
  return `${kind} ${id} by ${via}`;
}
