// What tests of put and get do with segments.
import { expect } from 'vitest';
import type { Client } from '#node/client/client.ts';
import { getRange } from '#node/client/segment-reader.ts';
import { putSegments, type PutResult } from '#node/client/segment-writer.ts';
import { chunked, readAll } from './test-farm.ts';

export const owner = 'ab'.repeat(32);
export const MIB = 1024 * 1024;
export const signal = () => AbortSignal.timeout(15_000);
export const put = (client: Client, bytes: Uint8Array, between?: (at: number) => void | Promise<void>) =>
  putSegments(client, { owner, source: chunked(bytes, 50_001, between), sizeBytes: bytes.length, signal: signal() });
export const get = (client: Client, stored: PutResult, offset = 0, length = stored.plainBytes - offset) =>
  readAll(getRange(client, { owner, segments: stored.segments, offset, length, signal: signal() }));
/** Holders of each segment, all that took a piece. */
export const holders = (stored: PutResult) =>
  stored.segments.flatMap(({ placement }) => placement.farmers.filter((one) => one !== null));

/** Comparing megabytes byte by byte in JavaScript takes seconds. */
export const expectSame = (got: Uint8Array, wanted: Uint8Array) => {
  expect(got.length).toBe(wanted.length);
  expect(Buffer.compare(got, wanted)).toBe(0);
};
