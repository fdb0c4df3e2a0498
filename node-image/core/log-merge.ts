// The merge of logs into what a bucket is. Entries may come in any order, any number of times, from any
// number of logs: the result is the same. A version that an entry names (replaced or deleted) never
// wins, whatever its clock; among the others the highest (clock, log) does.
import type {
  BucketEntry,
  BucketId,
  CheckpointEntry,
  Clock,
  DeleteEntry,
  OwnerEntry,
  PartEntry,
  PublicKey,
  PutEntry,
  UploadEntry,
} from '#node/wire/types.ts';

/** An entry and the log it came by. */
export interface Logged<Entry extends { clock: Clock } = OwnerEntry> {
  entry: Entry;
  logId: PublicKey;
}
export interface KeyState {
  /** By version id, named ones too. */
  versions: Map<string, Logged<PutEntry>>;
  /** Version ids that an entry replaced or deleted, also before they were seen. */
  named: Set<string>;
}
interface UploadState {
  upload?: Logged<UploadEntry>;
  parts: Map<number, Logged<PartEntry>>;
}
export interface MergedView {
  keys: Map<string, KeyState>;
  buckets: Map<BucketId, Logged<BucketEntry>>;
  uploads: Map<string, UploadState>;
}

export function emptyView(): MergedView {
  return { keys: new Map(), buckets: new Map(), uploads: new Map() };
}

/** Takes entries of one log into the view (which it changes and returns). */
export function mergeEntries(view: MergedView, logId: PublicKey, entries: Iterable<OwnerEntry>): MergedView {
  for (const entry of entries) mergeEntry(view, { entry, logId });
  return view;
}

function mergeEntry(view: MergedView, { entry, logId }: Logged): void {
  switch (entry.kind) {
    case 'put':
      return mergePut(keyState(view, entry.key), { entry, logId });
    case 'delete':
      return mergeDelete(keyState(view, entry.key), entry);
    case 'bucket':
      view.buckets.set(entry.bucketId, later(view.buckets.get(entry.bucketId), { entry, logId }));
      return;
    case 'upload': {
      const state = uploadState(view, entry.uploadId);
      state.upload = laterUpload(state.upload, { entry, logId });
      return;
    }
    case 'part': {
      const { parts } = uploadState(view, entry.uploadId);
      parts.set(entry.partNumber, later(parts.get(entry.partNumber), { entry, logId }));
      return;
    }
    case 'checkpoint':
    // It names segments and says nothing of objects.
  }
}

function mergePut(state: KeyState, put: Logged<PutEntry>): void {
  const { versionId, replaces } = put.entry;
  state.versions.set(versionId, laterPut(state.versions.get(versionId), put));
  for (const name of replaces) state.named.add(name);
}

function mergeDelete(state: KeyState, { names }: DeleteEntry): void {
  for (const name of names) state.named.add(name);
}

/** Versions that no entry named, newest first. More than one: truly concurrent writes (or kept versions). */
export function liveVersions(state: KeyState): Logged<PutEntry>[] {
  return [...state.versions.values()]
    .filter(({ entry }) => !state.named.has(entry.versionId))
    .sort((a, b) => compareLogged(b, a));
}

/** What the key is now; null = nothing. */
export function resolve(state: KeyState): Logged<PutEntry> | null {
  return liveVersions(state)[0] ?? null;
}

/** By wall time, then counter. */
export function compareClocks(a: Clock, b: Clock): number {
  return a.wallMs - b.wallMs || a.counter - b.counter;
}

/** The clock of the next entry: after all that were seen, and not behind the wall. */
export function nextClock(last: Clock, wallMs: number): Clock {
  return wallMs > last.wallMs ? { wallMs, counter: 0 } : { wallMs: last.wallMs, counter: last.counter + 1 };
}

/** The total order that decides among concurrent entries. */
function compareLogged(a: Logged, b: Logged): number {
  return compareClocks(a.entry.clock, b.entry.clock) || compareText(a.logId, b.logId) || compareText(tieText(a), tieText(b));
}

/** When an entry was written: its clock, but for a version that was rewritten since. Unique within a log. */
export function writtenAt(entry: OwnerEntry): Clock {
  return entry.kind === 'put' ? (entry.rewritten ?? entry.clock) : entry.clock;
}

/** Of two puts of one version, the one written later says where its bytes are. */
function compareContents(a: Logged<PutEntry>, b: Logged<PutEntry>): number {
  return compareClocks(writtenAt(a.entry), writtenAt(b.entry)) || compareLogged(a, b);
}

export function laterPut(before: Logged<PutEntry> | undefined, now: Logged<PutEntry>): Logged<PutEntry> {
  return before && compareContents(before, now) >= 0 ? before : now;
}

/** One writer never uses a clock twice for one thing; if a broken one does, all readers still take the same. */
function tieText({ entry }: Logged): string {
  return JSON.stringify(entry, (_, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value));
}

function compareText(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

export function later<Entry extends OwnerEntry>(before: Logged<Entry> | undefined, now: Logged<Entry>): Logged<Entry> {
  return before && compareLogged(before, now) >= 0 ? before : now;
}

/** Closed stays closed: a late 'open' of a slower clock or a faster one must not bring an upload back. */
export function laterUpload(before: Logged<UploadEntry> | undefined, now: Logged<UploadEntry>): Logged<UploadEntry> {
  if (before && before.entry.state !== now.entry.state) return before.entry.state === 'closed' ? before : now;
  return later(before, now);
}

/**
 * Two checkpoints of one number: a keeper made it while another took over. Nobody who has only the entries knows which
 * of them readers will open, so both hold what they hold.
 */
export function bothCheckpoints<Held extends Pick<CheckpointEntry, 'previous' | 'segments'>>(one: Held, other: Held): Held {
  const segments = [...new Set([...one.segments, ...other.segments])].sort();
  return { ...one, previous: Math.max(one.previous, other.previous), segments };
}

function keyState(view: MergedView, key: string): KeyState {
  let state = view.keys.get(key);
  if (!state) view.keys.set(key, (state = { versions: new Map(), named: new Set() }));
  return state;
}

function uploadState(view: MergedView, uploadId: string): UploadState {
  let state = view.uploads.get(uploadId);
  if (!state) view.uploads.set(uploadId, (state = { parts: new Map() }));
  return state;
}
