// A thread for one piece of work: it moves the index's write-ahead log into the index file. That waits for
// the disk, which the main thread never does. Ends when it is done.
import { DatabaseSync } from 'node:sqlite';
import { workerData } from 'node:worker_threads';

const db = new DatabaseSync((workerData as { path: string }).path, { timeout: 5000 });
db.exec('PRAGMA wal_checkpoint(PASSIVE)');
db.close();
