// A stand-in for the app: native add-ons, a package in CommonJS, SQLite, a worker. Prints one line of
// JSON about what it finds, or serves HTTP when told to.
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { crc32 } from '@node-rs/crc32';
import express from 'express';

const worker = new Worker(new URL('./doubler.ts', import.meta.url), { workerData: 21 });
const doubled = await new Promise<number>((resolve, reject) => {
  worker.once('message', resolve);
  worker.once('error', reject);
});
const report = {
  role: process.argv[2] ?? '',
  blake3: new Blake3Hasher().update('abc').digest('hex'),
  crc32: crc32('abc'),
  sqlite: new DatabaseSync(':memory:').prepare('SELECT 6 * 7 AS answer').get()?.['answer'],
  doubled,
  uid: process.getuid?.(),
  node: process.versions.node,
  express: typeof express().listen,
};
console.log(JSON.stringify(report));
