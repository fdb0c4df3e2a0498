// One farmer's folder: segment files and index. Opened, it is whole again whatever happened before.
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { folderDisk, type Disk } from './disk.ts';
import { SegmentLog } from './segment-log.ts';
import type { SegmentState } from './segment-file.ts';
import { spaceGauge, type SpaceGauge } from './space-gauge.ts';
import { StoreIndex } from './store-index.ts';

/** Index pages that may lie in the write-ahead log before they are moved: about 16 MiB. */
const CHECKPOINT_AFTER_RECORDS = 4000;

export interface StoreOptions {
  folder: string;
  /** For tests; the folder `segments` in `folder` otherwise. */
  disk?: Disk;
  /** For tests: makes the index as it is now durable. On another thread otherwise. */
  checkpoint?: (path: string) => Promise<void>;
  nowMs: () => number;
  randomLife: () => bigint;
  segmentBytes?: number;
  /** For tests: `:memory:` = made anew at each start. */
  indexPath?: string;
}

/** Three numbers that are always true. */
export interface StoreNumbers {
  liveBytes: number;
  /** Taken on the disk by pieces in the trash and by what nothing names. */
  trashBytes: number;
  freeBytes: number;
  /** Without the trash. */
  pieces: number;
  logs: number;
}

export class Store {
  readonly log: SegmentLog;
  readonly index: StoreIndex;
  readonly space: SpaceGauge;
  readonly nowMs: () => number;
  readonly checkpoints: Checkpoints;

  private constructor(parts: {
    log: SegmentLog;
    index: StoreIndex;
    space: SpaceGauge;
    nowMs: () => number;
    checkpoints: Checkpoints;
  }) {
    this.log = parts.log;
    this.index = parts.index;
    this.space = parts.space;
    this.nowMs = parts.nowMs;
    this.checkpoints = parts.checkpoints;
  }

  /** The caller holds the folder's lock. */
  static async open(options: StoreOptions): Promise<Store> {
    const { folder, nowMs } = options;
    const disk = options.disk ?? (await folderDisk(join(folder, 'segments')));
    const path = options.indexPath ?? join(folder, 'index.sqlite');
    const opened = (await openWith(path, disk, options)) ?? (await rebuild(path, disk, options));
    return new Store({ ...opened, space: spaceGauge(disk, nowMs, () => opened.log.files.spareBytes()), nowMs });
  }

  async numbers(): Promise<StoreNumbers> {
    const { liveBytes, pieces, logs } = this.index.totals();
    return {
      liveBytes,
      trashBytes: this.log.files.usedBytes() - liveBytes,
      freeBytes: await this.space.freeBytes(),
      pieces,
      logs,
    };
  }

  async close(): Promise<void> {
    await this.log.close();
    await this.checkpoints.end();
    this.index.close();
  }
}

interface Opened {
  log: SegmentLog;
  index: StoreIndex;
  checkpoints: Checkpoints;
}

async function openWith(
  path: string,
  disk: Disk,
  { randomLife, segmentBytes, checkpoint }: StoreOptions,
): Promise<Opened | null> {
  let index: StoreIndex;
  let known: SegmentState[];
  try {
    index = StoreIndex.open(path);
    known = index.segments();
  } catch {
    return null;
  }
  const checkpoints = checkpointer(checkpoint ?? (path === ':memory:' ? async () => {} : checkpointOnThread), path);
  // A file that is begun anew must never be met by an index that still counts on what was in it.
  if (known.some(({ phase }) => phase === 'spent')) await checkpoints.now();
  const log = await SegmentLog.open({
    disk,
    known,
    lastStamp: index.totals().stamp,
    randomLife,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
    onDurable(records, state, alsoDo) {
      index.transaction(() => {
        for (const record of records) index.apply(record);
        alsoDo?.();
        index.putSegment(state);
      });
      checkpoints.after(records.length);
    },
    onFound: (records) => index.transaction(() => records.forEach((record) => index.applyFound(record))),
    onState: (state) => index.transaction(() => index.putSegment(state)),
    onRemoved: (segment) => index.transaction(() => index.removeSegment(segment)),
  }).catch((error: unknown) => {
    index.close();
    throw error;
  });
  if (!log) {
    index.close();
    return null;
  }
  index.replayLate();
  return { log, index, checkpoints };
}

/** The index is a view: from the segment files alone it comes out the same, only slower. */
async function rebuild(path: string, disk: Disk, options: StoreOptions): Promise<Opened> {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  const opened = await openWith(path, disk, options);
  if (!opened) throw new Error(`${path} can't be made anew: see that its folder can be written.`);
  return opened;
}

interface Checkpoints {
  /** So many records more; now and then that is enough for a checkpoint. */
  after(records: number): void;
  /** The index as it is now is durable when this resolves. */
  now(): Promise<void>;
  end(): Promise<void>;
}

/** Rejects where it failed. */
async function checkpointOnThread(path: string): Promise<void> {
  const worker = new Worker(new URL('./index-checkpoint.ts', import.meta.url), { workerData: { path } });
  const [code] = (await once(worker, 'exit')) as [number];
  if (code !== 0) throw new Error(`the checkpoint of ${path} ended with ${code}`);
}

function checkpointer(checkpoint: (path: string) => Promise<void>, path: string): Checkpoints {
  let records = 0;
  let running: Promise<void> | null = null;
  const run = () => {
    running = checkpoint(path).finally(() => {
      running = null;
    });
    return running;
  };
  return {
    after(count) {
      records += count;
      if (records < CHECKPOINT_AFTER_RECORDS || running) return;
      records = 0;
      // One that fails is tried again after the next records; nothing is lost meanwhile.
      run().catch(() => {});
    },
    async now() {
      await running?.catch(() => {});
      await run();
    },
    async end() {
      await running?.catch(() => {});
    },
  };
}
