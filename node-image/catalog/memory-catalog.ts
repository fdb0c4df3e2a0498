// The catalog in memory: for tests and simulation. Same rules, plain maps.
import {
  ACCOUNT_BUCKET_ID,
  type BucketEntry,
  type Clock,
  type PartEntry,
  type PutEntry,
  type SealedPlacement,
  type SegmentPlacement,
  type UploadEntry,
} from '#node/wire/types.ts';
import { compareClocks, writtenAt } from '#node/core/log-merge.ts';
import { placementTag } from '#node/wire/placements.ts';
import { applyBatch, applyRestored, type HeldCheckpoint, type Tables } from './apply-batch.ts';
import {
  CatalogError,
  portionOf,
  type Catalog,
  type Content,
  type ListRow,
  type LogPosition,
  type Uncovered,
  type UploadRow,
  type Usage,
  type VersionRow,
} from './catalog.ts';
import { compareKeys, keyBytes, uploadPosition } from './key-order.ts';
import { listPage, uploadPage } from './pages.ts';
import type { Seek } from './skip-scan.ts';

interface Version extends VersionRow, Content {
  writtenAt: Clock;
  isCurrent: boolean;
}
interface Bucket {
  keys: Map<string, Version[]>;
  tombstones: Set<string>;
  rewrites: Map<string, { entry: PutEntry; logId: string }>;
  uploads: Map<string, UploadEntry>;
  parts: Map<string, PartEntry[]>;
  placements: Map<string, SegmentPlacement>;
  references: Map<string, number>;
  /** Names of segments that are to be counted. */
  restored: string[];
  usage: Usage;
}
interface State {
  buckets: Map<string, Bucket>;
  rows: Map<string, { owner: string; entry: BucketEntry; logId: string }>;
  positions: Map<string, LogPosition[]>;
  moves: Map<string, SealedPlacement[]>;
  checkpoints: Map<string, HeldCheckpoint[]>;
  uncovered: Map<string, Uncovered>;
}

export function createMemoryCatalog(): Catalog {
  const state: State = {
    buckets: new Map(),
    rows: new Map(),
    positions: new Map(),
    moves: new Map(),
    checkpoints: new Map(),
    uncovered: new Map(),
  };
  const settings = new Map<string, Uint8Array>();
  const tables = memoryTables(state);
  const bucket = (bucketId: string) => bucketOf(state, bucketId);
  let closed = false;
  const write = async (change: () => unknown): Promise<void> => {
    // Like the real one: visible only after the caller had to wait.
    await Promise.resolve();
    if (closed) throw new CatalogError('Closed', 'the catalog is closed');
    change();
  };
  const rows = () =>
    [...state.rows.values()]
      .filter(({ entry }) => !entry.deleted)
      .map(({ owner, entry }) => ({ bucketId: entry.bucketId, owner, name: entry.name, createdMs: entry.createdMs }));
  const current = (bucketId: string, key: string) =>
    bucket(bucketId)
      .keys.get(key)
      ?.find((version) => version.isCurrent) ?? null;

  return {
    apply: (batch) => write(() => applyBatch(tables, batch)),
    restore: (step) => write(() => applyRestored(tables, step)),
    uncovered: (owner, bucketId) => state.uncovered.get(`${owner}/${bucketId}`) ?? NOTHING_UNCOVERED,
    positions: (owner, bucketId) => [...(state.positions.get(`${owner}/${bucketId}`) ?? [])],
    deletedBuckets: (owner) =>
      [...state.rows.values()].flatMap((row) => (row.owner === owner && row.entry.deleted ? [row.entry.bucketId] : [])).sort(),
    buckets: (owner) =>
      rows()
        .filter((row) => row.owner === owner)
        .sort((a, b) => compareKeys(a.name, b.name)),
    bucketsNamed: (name) =>
      rows()
        .filter((row) => row.name === name)
        .sort((a, b) => a.createdMs - b.createdMs || compareKeys(a.bucketId, b.bucketId)),
    usage: (bucketId) => ({ ...bucket(bucketId).usage }),
    current: (bucketId, key) => versionRow(current(bucketId, key)),
    liveVersions: (bucketId, key) => (bucket(bucketId).keys.get(key) ?? []).map((version) => version.versionId).sort(),
    content(bucketId, key, versionId) {
      const version = bucket(bucketId)
        .keys.get(key)
        ?.find((one) => one.versionId === versionId);
      if (version === undefined) return null;
      const { inline, segments, packed } = version;
      return { inline, segments, ...(packed ? { packed } : {}) };
    },
    list(bucketId, query) {
      const all = [...bucket(bucketId).keys.keys()].sort(compareKeys).flatMap((key) => listRow(current(bucketId, key)) ?? []);
      return listPage(
        query,
        seekIn(all, (row) => keyBytes(row.key)),
      );
    },
    upload(bucketId, uploadId) {
      const upload = bucket(bucketId).uploads.get(uploadId);
      return upload?.state === 'open' ? uploadRow(upload) : null;
    },
    uploads(bucketId, query) {
      const position = (row: { key: string; uploadId: string }) => uploadPosition(row.key, row.uploadId);
      const open = [...bucket(bucketId).uploads.values()].filter((upload) => upload.state === 'open').map(uploadRow);
      return uploadPage(
        query,
        seekIn(
          open.sort((a, b) => Buffer.compare(position(a), position(b))),
          position,
        ),
      );
    },
    parts: (bucketId, uploadId, afterPart, limit) =>
      (bucket(bucketId).parts.get(uploadId) ?? [])
        .filter((part) => part.partNumber > afterPart)
        .sort((a, b) => a.partNumber - b.partNumber)
        .slice(0, limit)
        .map(partRow),
    part(bucketId, uploadId, partNumber) {
      const part = bucket(bucketId)
        .parts.get(uploadId)
        ?.find((one) => one.partNumber === partNumber);
      return part === undefined ? null : { ...partRow(part), inline: part.inline ?? null, segments: part.segments ?? [] };
    },
    cut(owner, limit) {
      const own = [...state.positions].filter(([name]) => name.startsWith(`${owner}/`));
      const buckets = own.map(([name]) => name.slice(owner.length + 1));
      const unnamed = buckets.flatMap((bucketId) => unnamedIn(bucket(bucketId)));
      const dropped = [...new Set(unnamed)].filter((id) => !isNamed(state, id)).sort();
      const heads = own.flatMap(([, positions], i) => positions.map((one) => ({ bucketId: buckets[i]!, ...one })));
      return { heads, dropped: dropped.slice(0, limit) };
    },
    version(bucketId, key, versionId) {
      const versions = bucket(bucketId).keys.get(key) ?? [];
      return versionRow(versions.find((one) => one.versionId === versionId) ?? null);
    },
    schemes(bucketId) {
      const { placements, references } = bucket(bucketId);
      const live = [...placements.values()].filter(({ segmentId }) => (references.get(segmentId) ?? 0) > 0);
      const all = new Map(live.map(({ scheme: { required, optimal } }) => [`${required}/${optimal}`, { required, optimal }]));
      return [...all.values()].sort((a, b) => a.optimal - b.optimal || a.required - b.required);
    },
    segmented(bucketId, after, limit) {
      const place = (one: { key: string; versionId: string }) =>
        Buffer.concat([keyBytes(one.key), Buffer.from(`\0${one.versionId}`)]);
      return [...bucket(bucketId).keys.values()]
        .flat()
        .filter((version) => version.segments.length > 0 && (after === null || Buffer.compare(place(version), place(after)) > 0))
        .sort((a, b) => Buffer.compare(place(a), place(b)))
        .slice(0, limit)
        .map(({ key, versionId }) => ({ key, versionId }));
    },
    placement: (bucketId, segmentId) => bucket(bucketId).placements.get(segmentId) ?? null,
    references: (bucketId, segmentId) => bucket(bucketId).references.get(segmentId) ?? 0,
    moves: (tag) => [...(state.moves.get(tag) ?? [])],
    setting: (name) => settings.get(name) ?? null,
    saveSetting: (name, value) => write(() => (value === null ? settings.delete(name) : settings.set(name, value))),
    async close() {
      closed = true;
    },
  };
}

const NOTHING_UNCOVERED: Uncovered = { headBytes: 0, inlineBytes: 0 };

function bucketOf(state: State, bucketId: string): Bucket {
  const known = state.buckets.get(bucketId);
  if (known !== undefined) return known;
  const bucket: Bucket = {
    keys: new Map(),
    tombstones: new Set(),
    rewrites: new Map(),
    uploads: new Map(),
    parts: new Map(),
    placements: new Map(),
    references: new Map(),
    restored: [],
    usage: { objects: 0, bytes: 0, uploadBytes: 0 },
  };
  state.buckets.set(bucketId, bucket);
  return bucket;
}

const unnamedIn = ({ references }: Bucket): string[] => [...references].flatMap(([id, count]) => (count > 0 ? [] : [id]));

function isNamed(state: State, segmentId: string): boolean {
  return [...state.buckets.values()].some(({ references }) => (references.get(segmentId) ?? 0) > 0);
}

function memoryTables(state: State): Tables {
  const bucket = (bucketId: string) => bucketOf(state, bucketId);
  const segmentIds = (of: { segments?: { segmentId: string }[] }) => (of.segments ?? []).map((segment) => segment.segmentId);
  const stored = (part: PartEntry) => ({ clock: part.clock, sizeBytes: part.sizeBytes, segmentIds: segmentIds(part) });
  return {
    position: (owner, bucketId, logId) => state.positions.get(`${owner}/${bucketId}`)?.find((one) => one.logId === logId) ?? null,
    setPosition(owner, bucketId, position) {
      const others = (state.positions.get(`${owner}/${bucketId}`) ?? []).filter((one) => one.logId !== position.logId);
      state.positions.set(`${owner}/${bucketId}`, [...others, position]);
    },
    bucketClock(bucketId) {
      const row = state.rows.get(bucketId);
      return row === undefined ? null : { clock: row.entry.clock, logId: row.logId };
    },
    putBucket: (owner, entry, logId) => void state.rows.set(entry.bucketId, { owner, entry, logId }),
    liveVersions: (bucketId, key) =>
      (bucket(bucketId).keys.get(key) ?? []).map((version) => ({ ...version, segmentIds: segmentIds(version) })),
    addVersion(bucketId, entry, logId) {
      const { kind: _, replaces: __, rewritten: ___, segments = [], inline = null, partSizes = null, ...row } = entry;
      const versions = bucket(bucketId).keys.get(entry.key) ?? [];
      if (versions.some(({ versionId }) => versionId === entry.versionId)) return false;
      const version = { ...row, segments, inline, partSizes, logId, writtenAt: writtenAt(entry), isCurrent: false };
      bucket(bucketId).keys.set(entry.key, [...versions, version]);
      return true;
    },
    rewriteVersion(bucketId, entry, logId) {
      const { inline = null, segments = [] } = entry;
      const versions = bucket(bucketId).keys.get(entry.key) ?? [];
      for (const version of versions)
        if (version.versionId === entry.versionId)
          Object.assign(version, { inline, segments, logId, writtenAt: writtenAt(entry) });
    },
    keepRewrite(bucketId, entry, logId) {
      const { rewrites } = bucket(bucketId);
      const name = `${entry.key}\0${entry.versionId}`;
      const kept = rewrites.get(name);
      if (kept === undefined || compareClocks(writtenAt(kept.entry), writtenAt(entry)) < 0) rewrites.set(name, { entry, logId });
    },
    takeRewrite(bucketId, key, versionId) {
      const { rewrites } = bucket(bucketId);
      const kept = rewrites.get(`${key}\0${versionId}`) ?? null;
      rewrites.delete(`${key}\0${versionId}`);
      return kept;
    },
    packVersion(bucketId, key, versionId, packed) {
      for (const version of bucket(bucketId).keys.get(key) ?? [])
        if (version.versionId === versionId && (version.inline !== null || version.packed !== undefined))
          Object.assign(version, { inline: null, packed });
    },
    removeVersion(bucketId, key, versionId) {
      const left = (bucket(bucketId).keys.get(key) ?? []).filter((version) => version.versionId !== versionId);
      if (left.length === 0) bucket(bucketId).keys.delete(key);
      else bucket(bucketId).keys.set(key, left);
    },
    setCurrent(bucketId, key, versionId, isCurrent) {
      for (const version of bucket(bucketId).keys.get(key) ?? [])
        if (version.versionId === versionId) version.isCurrent = isCurrent;
    },
    takeTombstone: (bucketId, key, versionId) => bucket(bucketId).tombstones.delete(`${key}\0${versionId}`),
    addTombstone: (bucketId, key, versionId) => void bucket(bucketId).tombstones.add(`${key}\0${versionId}`),
    uploadState: (bucketId, uploadId) => bucket(bucketId).uploads.get(uploadId)?.state ?? null,
    putUpload: (bucketId, entry) => void bucket(bucketId).uploads.set(entry.uploadId, entry),
    part(bucketId, uploadId, partNumber) {
      const part = bucket(bucketId)
        .parts.get(uploadId)
        ?.find((one) => one.partNumber === partNumber);
      return part === undefined ? null : stored(part);
    },
    putPart(bucketId, entry) {
      const others = (bucket(bucketId).parts.get(entry.uploadId) ?? []).filter((part) => part.partNumber !== entry.partNumber);
      bucket(bucketId).parts.set(entry.uploadId, [...others, entry]);
    },
    removeParts(bucketId, uploadId) {
      const parts = bucket(bucketId).parts.get(uploadId) ?? [];
      bucket(bucketId).parts.delete(uploadId);
      return parts.map(stored);
    },
    addPlacement(bucketId, placement) {
      const { placements, references } = bucket(bucketId);
      placements.set(placement.segmentId, placement);
      if (!references.has(placement.segmentId)) references.set(placement.segmentId, 0);
    },
    addReferences(bucketId, segmentId, count) {
      const { placements, references } = bucket(bucketId);
      const left = (references.get(segmentId) ?? 0) + count;
      references.set(segmentId, left);
      if (count > 0 || left > 0 || !isNamed(state, segmentId)) return;
      references.delete(segmentId);
      placements.delete(segmentId);
    },
    keepReference(bucketId, segmentId) {
      bucket(bucketId).restored.push(segmentId);
    },
    countReferences(bucketId, fromPortion, toPortion) {
      const { restored, references } = bucket(bucketId);
      const isIn = (segmentId: string) => portionOf(segmentId) >= fromPortion && portionOf(segmentId) < toPortion;
      for (const segmentId of restored.filter(isIn)) references.set(segmentId, (references.get(segmentId) ?? 0) + 1);
      bucket(bucketId).restored = restored.filter((segmentId) => !isIn(segmentId));
    },
    dropSegment(segmentId) {
      for (const { references, placements } of state.buckets.values()) {
        if ((references.get(segmentId) ?? 1) > 0) continue;
        const placement = placements.get(segmentId);
        if (placement) state.moves.delete(placementTag(placement.secret));
        references.delete(segmentId);
        placements.delete(segmentId);
      }
    },
    addMove(move) {
      const known = state.moves.get(move.tag) ?? [];
      if (known.some((one) => Buffer.compare(one.sealed, move.sealed) === 0)) return;
      state.moves.set(move.tag, [...known, move]);
    },
    addUsage(bucketId, objects, bytes, uploadBytes) {
      const { usage } = bucket(bucketId);
      bucket(bucketId).usage = {
        objects: usage.objects + objects,
        bytes: usage.bytes + bytes,
        uploadBytes: usage.uploadBytes + uploadBytes,
      };
    },
    checkpoints: (owner, bucketId) => [...(state.checkpoints.get(`${owner}/${bucketId}`) ?? [])],
    addCheckpoint(owner, bucketId, checkpoint) {
      const held = state.checkpoints.get(`${owner}/${bucketId}`) ?? [];
      state.checkpoints.set(`${owner}/${bucketId}`, [...held, checkpoint]);
    },
    removeCheckpoint(owner, bucketId, number) {
      const held = state.checkpoints.get(`${owner}/${bucketId}`) ?? [];
      state.checkpoints.set(
        `${owner}/${bucketId}`,
        held.filter((one) => one.number !== number),
      );
    },
    addUncovered(owner, bucketId, bytes) {
      const before = state.uncovered.get(`${owner}/${bucketId}`) ?? NOTHING_UNCOVERED;
      const headBytes = before.headBytes + (bytes?.headBytes ?? 0);
      const inlineBytes = before.inlineBytes + (bytes?.inlineBytes ?? 0);
      state.uncovered.set(`${owner}/${bucketId}`, bytes === null ? NOTHING_UNCOVERED : { headBytes, inlineBytes });
    },
    clear(owner, bucketId) {
      for (const table of [state.positions, state.checkpoints, state.uncovered]) table.delete(`${owner}/${bucketId}`);
      if (bucketId !== ACCOUNT_BUCKET_ID) state.buckets.delete(bucketId);
      else for (const [name, row] of state.rows) if (row.owner === owner) state.rows.delete(name);
    },
  };
}

function seekIn<Row>(sorted: Row[], position: (row: Row) => Buffer): Seek<Row> {
  return (from, end) =>
    sorted.filter((row) => Buffer.compare(position(row), from) >= 0 && (end === null || Buffer.compare(position(row), end) < 0));
}

function versionRow(version: Version | null): VersionRow | null {
  if (version === null) return null;
  const { isCurrent: _, inline: __, segments: ___, packed: ____, writtenAt: _____, ...row } = version;
  return row;
}

function listRow(version: Version | null): ListRow | null {
  if (version === null) return null;
  const { key, sizeBytes, etag, modifiedMs, checksums } = version;
  const [checksum] = checksums;
  return {
    key,
    sizeBytes,
    etag,
    modifiedMs,
    checksum: checksum === undefined ? null : { algorithm: checksum.algorithm, type: checksum.type },
  };
}

const uploadRow = (entry: UploadEntry): UploadRow => ({
  uploadId: entry.uploadId,
  key: entry.key,
  createdMs: entry.createdMs,
  headers: entry.headers,
  checksumAlgorithm: entry.checksumAlgorithm ?? null,
  checksumType: entry.checksumType ?? null,
});

const partRow = ({ partNumber, sizeBytes, etag, modifiedMs, checksums }: PartEntry) => ({
  partNumber,
  sizeBytes,
  etag,
  modifiedMs,
  checksums,
});
