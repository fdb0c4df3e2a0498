// The queue of segments that want repair: a view of the index, most endangered first.
import { num, type IndexDatabase } from './index-database.ts';

export class QueueTable {
  readonly #db: IndexDatabase;

  constructor(db: IndexDatabase) {
    this.#db = db;
  }

  /** Most endangered first, those that wait for another try left out. */
  due(nowMs: number, limit: number): number[] {
    return this.#db
      .all(
        'SELECT id FROM segments INDEXED BY segments_queue WHERE queued = 1 AND retry_ms <= ? ORDER BY urgency, id LIMIT ?',
        nowMs,
        limit,
      )
      .map((row) => num(row['id']));
  }

  /** Since when a queued segment waits. */
  sinceMs(id: number): number {
    return num(this.#db.get('SELECT queued_ms FROM segments WHERE id = ?', id)?.['queued_ms'] ?? 0);
  }

  retryLater(id: number, retryMs: number): void {
    this.#db.run('UPDATE segments SET attempts = attempts + 1, retry_ms = ? WHERE id = ?', retryMs, id);
  }
  /** Not its fault: it isn't this segment's turn yet. */
  postpone(id: number, retryMs: number): void {
    this.#db.run('UPDATE segments SET retry_ms = ? WHERE id = ?', retryMs, id);
  }
  retryFresh(id: number): void {
    this.#db.run('UPDATE segments SET attempts = 0, retry_ms = 0 WHERE id = ?', id);
  }
  /** The farm changed: everything may be tried at once. */
  retryAll(): void {
    this.#db.run('UPDATE segments SET attempts = 0, retry_ms = 0 WHERE queued = 1 AND retry_ms > 0');
  }
}
