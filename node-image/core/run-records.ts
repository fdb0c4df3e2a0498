// The records of a checkpoint's runs: what entries become, in which order they stand, and how two of one
// place merge. It doesn't matter in which order runs are merged, as long as newer stays newer.
import { fromHex, toHex } from './ids.ts';
import { bothCheckpoints, later, laterPut, laterUpload } from './log-merge.ts';
import { MAX_MOVES, type OwnerRecord, type RepairRecord } from '#node/wire/checkpoints.ts';
import type { OwnerEntry, PublicKey, RepairPart, SealedPlacement } from '#node/wire/types.ts';

/** What merging and running through a family needs. */
export interface RecordFamily<Rec> {
  /** Where a record stands, compared by bytes. */
  positionOf(record: Rec): Uint8Array;
  /** Two of one place. `newer` comes from the newer run; only ties care. */
  merge(older: Rec, newer: Rec): Rec;
}

// ---- owner runs -----------------------------------------------------------------------------

/** First byte of a position. */
const PLACE = { checkpoint: 0, bucket: 1, object: 2, upload: 3 };

/** Records that an entry of this log becomes: the version, and one for each version that it names. */
export function ownerRecords(logId: PublicKey, entry: OwnerEntry): OwnerRecord[] {
  const gone = (key: string, names: readonly string[], wallMs: number) =>
    names.map((versionId): OwnerRecord => ({ kind: 'gone', key, versionId, wallMs }));
  if (entry.kind === 'delete') return gone(entry.key, entry.names, entry.clock.wallMs);
  if (entry.kind !== 'put') return [{ kind: 'entry', logId, entry }];
  const put: OwnerRecord = { kind: 'entry', logId, entry: { ...entry, replaces: [] } };
  return [put, ...gone(entry.key, entry.replaces, entry.clock.wallMs)];
}

export const ownerFamily: RecordFamily<OwnerRecord> = { positionOf: ownerPosition, merge: mergeOwner };

/** Before every version of a key, and behind those of any key before it. */
export function keyPosition(key: string): Buffer {
  return Buffer.concat([objectsFrom(key), Buffer.of(0, 0)]);
}
/** Before every key that begins with the prefix. */
export function objectsFrom(prefix: string): Buffer {
  return Buffer.concat([Buffer.of(PLACE.object), escaped(prefix)]);
}

function ownerPosition(record: OwnerRecord): Buffer {
  if (record.kind === 'gone') return Buffer.concat([keyPosition(record.key), fromHex(record.versionId)]);
  const { entry } = record;
  switch (entry.kind) {
    case 'put':
      return Buffer.concat([keyPosition(entry.key), fromHex(entry.versionId)]);
    case 'bucket':
      return Buffer.concat([Buffer.of(PLACE.bucket), fromHex(entry.bucketId)]);
    case 'checkpoint':
      return Buffer.concat([Buffer.of(PLACE.checkpoint), u64(entry.number)]);
    case 'upload':
      return uploadPosition(entry.uploadId);
    default:
      return Buffer.concat([uploadPosition(entry.uploadId), u64(entry.partNumber)]);
  }
}

function uploadPosition(uploadId: string): Buffer {
  return Buffer.concat([Buffer.of(PLACE.upload), escaped(uploadId), Buffer.of(0, 0)]);
}

/** A zero byte may stand in a text; as 00 ff it sorts behind the end (00 00) and before everything else. */
function escaped(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (!bytes.includes(0)) return bytes;
  return Buffer.concat([...bytes].map((byte) => (byte === 0 ? Buffer.of(0, 0xff) : Buffer.of(byte))));
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function mergeOwner(older: OwnerRecord, newer: OwnerRecord): OwnerRecord {
  // A version that was named is gone, whatever its clock. Of several names the latest keeps it gone longest.
  if (older.kind === 'gone') return newer.kind === 'gone' && newer.wallMs > older.wallMs ? newer : older;
  if (newer.kind === 'gone') return newer;
  const [a, b] = [older.entry, newer.entry];
  const [from, to] = [older.logId, newer.logId];
  const won =
    a.kind === 'put' && b.kind === 'put'
      ? laterPut({ entry: a, logId: from }, { entry: b, logId: to })
      : a.kind === 'upload' && b.kind === 'upload'
        ? laterUpload({ entry: a, logId: from }, { entry: b, logId: to })
        : later({ entry: a, logId: from }, { entry: b, logId: to });
  const [winner, loser] = won.entry === a ? [older, newer] : [newer, older];
  if (winner.entry.kind !== 'checkpoint' || loser.entry.kind !== 'checkpoint') return winner;
  return { ...winner, entry: bothCheckpoints(winner.entry, loser.entry) };
}

export interface OwnerSieveInput {
  horizonMs: number;
  /** The oldest run is among those that are merged: nothing older can be named by what goes. */
  isBottom: boolean;
  /** Checkpoint entries that still hold segments. */
  keepsCheckpoint: (number: number) => boolean;
}

/**
 * What is left out when runs are merged, asked in the order of the records: names and closed uploads below
 * the horizon once nothing older is left for them to hide, parts of closed uploads, spent checkpoints.
 */
export function ownerSieve({ horizonMs, isBottom, keepsCheckpoint }: OwnerSieveInput): (record: OwnerRecord) => boolean {
  let closedUpload = '';
  const isOver = (wallMs: number) => isBottom && wallMs < horizonMs;
  return (record) => {
    if (record.kind === 'gone') return !isOver(record.wallMs);
    const { entry } = record;
    switch (entry.kind) {
      case 'put':
        return true;
      case 'checkpoint':
        return keepsCheckpoint(entry.number);
      case 'bucket':
        return !(entry.deleted && isOver(entry.clock.wallMs));
      case 'upload':
        if (entry.state === 'closed') closedUpload = entry.uploadId;
        return !(entry.state === 'closed' && isOver(entry.clock.wallMs));
      default:
        return entry.uploadId !== closedUpload;
    }
  };
}

// ---- repair runs ----------------------------------------------------------------------------

/** Whether what a writer let go is named elsewhere only the owner's side knows: the maker of the run says it. */
export function repairRecords(repair: RepairPart | null, placements: readonly SealedPlacement[]): RepairRecord[] {
  const added = (repair?.added ?? []).map((placement): RepairRecord => {
    return { kind: 'segment', segmentId: placement.segmentId, live: true, placement };
  });
  const released = (repair?.released ?? []).map((segmentId): RepairRecord => ({ kind: 'segment', segmentId, live: false }));
  const moves = placements.map(({ tag, sealed }): RepairRecord => ({ kind: 'moves', tag, sealed: [sealed] }));
  return [...added, ...released, ...moves];
}

export const repairFamily: RecordFamily<RepairRecord> = { positionOf: repairPosition, merge: mergeRepair };

export function segmentPosition(segmentId: string): Buffer {
  return Buffer.concat([Buffer.of(0), fromHex(segmentId)]);
}
export function movesPosition(tag: string): Buffer {
  return Buffer.concat([Buffer.of(1), fromHex(tag)]);
}

function repairPosition(record: RepairRecord): Buffer {
  return record.kind === 'segment' ? segmentPosition(record.segmentId) : movesPosition(record.tag);
}

function mergeRepair(older: RepairRecord, newer: RepairRecord): RepairRecord {
  if (older.kind === 'moves' && newer.kind === 'moves') return { ...newer, sealed: unique([...older.sealed, ...newer.sealed]) };
  if (older.kind !== 'segment' || newer.kind !== 'segment') throw new TypeError('Two kinds of records have one place.');
  const placement = newer.placement ?? older.placement;
  return { ...newer, ...(placement ? { placement } : {}) };
}

/** Each once, in one order; of too many the newest are kept. */
function unique(sealed: readonly Uint8Array[]): Uint8Array[] {
  const byBytes = new Map(sealed.map((one) => [toHex(one), one]));
  return [...byBytes.values()].slice(-MAX_MOVES);
}

/** Segments that nothing names go once nothing older is left; moves as the owner's side says. */
export function repairSieve(input: {
  isBottom: boolean;
  /** Whether moves of this tag are about a segment that something still names. */
  keepsMoves: (tag: string) => boolean;
}): (record: RepairRecord) => boolean {
  return (record) => {
    if (!input.isBottom) return true;
    return record.kind === 'segment' ? record.live : input.keepsMoves(record.tag);
  };
}
