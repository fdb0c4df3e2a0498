// The repairer's own logs, one for each bucket in which it has moved something. What must outlive the
// process to go on with them lies in one small SQLite file, synced at each save; without it new logs
// are started and nothing is lost.
import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isHex } from '#node/core/ids.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { openBucketLog, type BucketLog, type SavedLog, type WriterState } from '#node/log/log-writer.ts';
import type { LogLink } from '#node/log/log-link.ts';
import type { BucketId, PublicKey, SealedPlacement } from '#node/wire/types.ts';

/** Open at once; those used longest ago are closed. */
const MAX_OPEN = 64;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS writer_states (
  owner TEXT NOT NULL, bucket_id TEXT NOT NULL, seed BLOB NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL, pending BLOB,
  PRIMARY KEY (owner, bucket_id)
) STRICT, WITHOUT ROWID;`;

export class WriterStates {
  readonly #db: DatabaseSync;

  /** A damaged file is as good as none: the logs in it are left, new ones are opened. */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true });
    try {
      this.#db = openStates(path);
    } catch {
      for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true });
      this.#db = openStates(path);
    }
  }

  of(owner: PublicKey, bucketId: BucketId): WriterState {
    return {
      load: () => {
        const row = this.#db
          .prepare('SELECT seed, seq, hash, pending FROM writer_states WHERE owner = ? AND bucket_id = ?')
          .get(owner, bucketId) as { seed: Uint8Array; seq: number; hash: string; pending: Uint8Array | null } | undefined;
        return Promise.resolve(row && isHex(row.hash, 32) ? { ...row } : null);
      },
      save: ({ seed, seq, hash, pending }: SavedLog) => {
        this.#db
          .prepare('INSERT OR REPLACE INTO writer_states (owner, bucket_id, seed, seq, hash, pending) VALUES (?, ?, ?, ?, ?, ?)')
          .run(owner, bucketId, seed, seq, hash, pending);
        return Promise.resolve();
      },
    };
  }

  close(): void {
    this.#db.close();
  }
}

function openStates(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    db.exec(SCHEMA);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

export interface PlacementLogs {
  /** Resolves when readers will find them: acknowledged at f + 1. Rejects with LogError. */
  append(owner: PublicKey, bucketId: BucketId, placements: readonly SealedPlacement[], signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function placementLogs(input: { link: LogLink; self: KeyPair; states: WriterStates; signal: AbortSignal }): PlacementLogs {
  const { link, self, states } = input;
  const open = new Map<string, Promise<BucketLog>>();

  const opened = (owner: PublicKey, bucketId: BucketId): Promise<BucketLog> => {
    const name = `${owner}/${bucketId}`;
    const known = open.get(name);
    open.delete(name);
    const log = known ?? start(name, owner, bucketId);
    open.set(name, log);
    for (const [oldest, old] of open) {
      if (open.size <= MAX_OPEN) break;
      open.delete(oldest);
      void closeLog(old);
    }
    return log;
  };
  const start = (name: string, owner: PublicKey, bucketId: BucketId): Promise<BucketLog> => {
    const log = openBucketLog({
      link,
      owner,
      bucketId,
      writer: self,
      kind: 'placements',
      state: states.of(owner, bucketId),
      signal: input.signal,
    });
    const forget = () => {
      if (open.get(name) === log) open.delete(name);
    };
    log.then(({ ended }) => ended.then(forget), forget);
    return log;
  };

  return {
    async append(owner, bucketId, placements, signal) {
      const log = await opened(owner, bucketId);
      await log.appendPlacements(placements, signal);
    },
    async close() {
      await Promise.all([...open.values()].map(closeLog));
      open.clear();
    },
  };
}

async function closeLog(log: Promise<BucketLog>): Promise<void> {
  await log.then(
    (one) => one.close(),
    () => {},
  );
}
