// A farm in memory for the bridge's own rules: logs and segments that outlive a bridge, with the faults that
// the rules have to stand: appends that don't reach f + 1, logs that end, farmers that are away.
import { createHash, randomBytes } from 'node:crypto';
import type { AccountAccess } from '#node/client/account.ts';
import { GetError } from '#node/client/segment-reader.ts';
import { PutError, type StoredSegment } from '#node/client/segment-writer.ts';
import type { AppliedBatch } from '#node/catalog/catalog.ts';
import { LogError } from '#node/log/log-link.ts';
import type { AcknowledgedBatch, BucketLog, LogPosition } from '#node/log/log-writer.ts';
import type { Scheme } from '#node/wire/types.ts';
import type { FarmPort } from '#node/bridge/farm-port.ts';

const SEGMENT_BYTES = 100_000;
const hex = (bytes: number) => randomBytes(bytes).toString('hex');

export interface MemoryFarm extends FarmPort {
  /** While true nothing is acknowledged; what is sent stays pending. */
  stalled: boolean;
  /** While true nothing is read or written. */
  away: boolean;
  /** What new segments get. */
  scheme: Scheme;
  /** Older segments are to be brought to the scheme. */
  rewrites: boolean;
  /** Ends the open log of a bucket, as a seal by somebody else does. Pending entries are lost or kept. */
  endLog(bucketId: string, pending: 'lost' | 'kept'): void;
  /** Acknowledges what is pending everywhere. */
  resume(): Promise<void>;
  /** Segments brought in less those let go, of one bucket: what a repairer believes to be alive. */
  liveSegments(bucketId: string): string[];
  batches(bucketId: string): AppliedBatch[];
  openedLogs: number;
}

interface Open {
  logId: string;
  bucketId: string;
  pending: { batch: AcknowledgedBatch; done: PromiseWithResolvers<LogPosition> }[];
  end(reason: Error): void;
  acknowledge(): Promise<void>;
}

export function createMemoryFarm(): MemoryFarm {
  const logs = new Map<string, AppliedBatch[]>();
  const bytes = new Map<string, Uint8Array>();
  const open = new Map<string, Open>();

  const farm: MemoryFarm = {
    stalled: false,
    away: false,
    scheme: { required: 1, repair: 1, optimal: 2, total: 2 },
    rewrites: false,
    openedLogs: 0,
    duringTransfer: (work) => work(),
    keepRunning: () => undefined,
    rewriteTo: () => (farm.rewrites ? { scheme: farm.scheme, generation: 1 } : null),

    async putSegments({ owner, source, sizeBytes }) {
      const segments: StoredSegment[] = [];
      let plainBytes = 0;
      for await (const chunk of regular(source)) {
        if (farm.away) throw new PutError('NotEnoughFarmers', '1 of 3 farmers answers');
        plainBytes += chunk.length;
        segments.push(newSegment(owner, chunk, farm.scheme));
        bytes.set(segments.at(-1)?.key.segmentId ?? '', chunk);
      }
      if (sizeBytes !== undefined && plainBytes !== sizeBytes) throw new PutError('WrongLength', 'wrong length');
      return { plainBytes, segments };
    },

    async *getRange({ segments, offset, length }) {
      let [at, left] = [offset, length];
      for (const { key } of segments) {
        const chunk = bytes.get(key.segmentId);
        if (farm.away || chunk === undefined) throw new GetError('TooFewPieces', 'no piece answers');
        const part = chunk.subarray(Math.min(at, chunk.length), Math.min(at + left, chunk.length));
        at = Math.max(0, at - chunk.length);
        left -= part.length;
        if (part.length > 0) yield part;
        if (left === 0) return;
      }
    },

    async *readNew({ owner }: AccountAccess, bucketId, since) {
      if (farm.away) throw new LogError('NotEnoughReplicas', 'nobody answers');
      for (const batch of logs.get(`${owner}/${bucketId}`) ?? []) if (batch.seq > (since.get(batch.logId)?.seq ?? 0)) yield batch;
    },

    named: () => 0,

    async openLog({ owner }, bucketId, onAcknowledged) {
      if (farm.away) throw new LogError('NotEnoughReplicas', 'nobody answers');
      farm.openedLogs++;
      const name = `${owner}/${bucketId}`;
      const log = newLog(owner, bucketId, onAcknowledged);
      open.set(name, log.open);
      return log.log;
    },

    endLog(bucketId, pending) {
      for (const one of open.values()) {
        if (one.bucketId !== bucketId) continue;
        if (pending === 'kept') for (const { batch } of one.pending) keep(one, batch);
        one.end(new LogError('LogEnded', 'sealed by another bridge'));
      }
    },
    async resume() {
      farm.stalled = false;
      for (const one of open.values()) await one.acknowledge();
    },
    liveSegments(bucketId) {
      const count = new Map<string, number>();
      const add = (id: string, by: number) => count.set(id, (count.get(id) ?? 0) + by);
      for (const { repair } of farm.batches(bucketId)) {
        for (const { segmentId } of repair?.added ?? []) add(segmentId, 1);
        for (const segmentId of repair?.released ?? []) add(segmentId, -1);
      }
      return [...count].filter(([, times]) => times > 0).map(([segmentId]) => segmentId);
    },
    batches: (bucketId) => [...logs].filter(([name]) => name.endsWith(bucketId)).flatMap(([, all]) => all),
  };

  const owners = new Map<string, string>();
  const keep = ({ bucketId, logId }: Pick<Open, 'bucketId' | 'logId'>, batch: AcknowledgedBatch) => {
    const owner = owners.get(logId) ?? '';
    const name = `${owner}/${bucketId}`;
    const { seq, hash, entries, repair, placements } = batch;
    logs.set(name, [...(logs.get(name) ?? []), { owner, bucketId, logId, seq, hash, entries, repair, placements }]);
  };

  const newLog = (
    owner: string,
    bucketId: string,
    onAcknowledged: (batch: AcknowledgedBatch) => Promise<void>,
  ): { log: BucketLog; open: Open } => {
    const logId = hex(32);
    owners.set(logId, owner);
    const ended = Promise.withResolvers<Error>();
    let seq = 0;
    let isEnded = false;
    const one: Open = {
      logId,
      bucketId,
      pending: [],
      end(reason) {
        isEnded = true;
        for (const { done } of one.pending.splice(0)) done.reject(reason);
        ended.resolve(reason);
      },
      acknowledge() {
        acknowledging = acknowledging.then(acknowledgeAll);
        return acknowledging;
      },
    };
    // One after the other, as the real log does.
    let acknowledging: Promise<void> = Promise.resolve();
    const acknowledgeAll = async () => {
      for (const { batch, done } of one.pending.splice(0)) {
        keep(one, batch);
        try {
          await onAcknowledged(batch);
          done.resolve(batch);
        } catch (error) {
          done.reject(new LogError('LogEnded', 'what was acknowledged could not be taken in', { cause: error }));
          one.end(error as Error);
        }
      }
    };
    const log: BucketLog = {
      logId,
      owner,
      bucketId,
      ended: ended.promise,
      head: () => ({ logId, seq, hash: '', timeMs: 0 }),
      set: () => ({ epoch: 1, f: 1, members: [] }),
      upToDate: () => [],
      async append(entries, repair) {
        if (isEnded) throw new LogError('LogEnded', 'this log has ended');
        const batch = { logId, seq: ++seq, hash: hex(32), timeMs: 0, entries: [...entries], repair, placements: [] };
        const done = Promise.withResolvers<LogPosition>();
        done.promise.catch(() => undefined);
        one.pending.push({ batch, done });
        await new Promise((resolve) => setImmediate(resolve));
        if (farm.stalled || farm.away) throw new LogError('NotEnoughReplicas', '1 of 3 replicas took it');
        await one.acknowledge();
        return done.promise;
      },
      appendPlacements: () => Promise.reject(new Error('a bridge places nothing')),
      hold: (work) => work(),
      close: () => Promise.resolve(isEnded ? undefined : one.end(new LogError('LogEnded', 'closed'))),
    };
    return { log, open: one };
  };
  return farm;
}

function newSegment(owner: string, chunk: Uint8Array, scheme: Scheme): StoredSegment {
  const segmentId = createHash('sha256').update(randomBytes(8)).update(chunk).digest('hex');
  return {
    key: { segmentId, key: randomBytes(32), commitment: randomBytes(16), plainBytes: chunk.length },
    placement: {
      segmentId,
      secret: randomBytes(32),
      scheme,
      sizeBytes: chunk.length,
      root: hex(32),
      farmers: Array.from({ length: scheme.total }, () => owner),
      createdMs: 1,
    },
  };
}

async function* regular(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held = Buffer.alloc(0);
  for await (const chunk of source) {
    held = Buffer.concat([held, chunk]);
    while (held.length >= SEGMENT_BYTES) {
      yield held.subarray(0, SEGMENT_BYTES);
      held = held.subarray(SEGMENT_BYTES);
    }
  }
  if (held.length > 0) yield held;
}
