import { describe, expect, it } from 'vitest';
import { parseCopyRange, parseRange, readCondition, writeConditions } from '#node/bridge/s3/conditions.ts';
import { S3Error } from '#node/bridge/s3/errors.ts';

const state = { etag: 'abc', modifiedMs: Date.UTC(2026, 0, 1, 12, 0, 0, 700) };
const before = 'Thu, 01 Jan 2026 11:59:59 GMT';
const same = 'Thu, 01 Jan 2026 12:00:00 GMT';
const check = (headers: Record<string, string>) => readCondition((name) => headers[name] ?? null, state);

describe('preconditions', () => {
  it.each([
    [{}, 'proceed'],
    [{ 'if-match': '"abc"' }, 'proceed'],
    [{ 'if-match': '"x", "abc"' }, 'proceed'],
    [{ 'if-match': '*' }, 'proceed'],
    [{ 'if-match': '"x"' }, 'failed'],
    [{ 'if-none-match': '"abc"' }, 'not-modified'],
    [{ 'if-none-match': 'W/"abc"' }, 'not-modified'],
    [{ 'if-none-match': '"x"' }, 'proceed'],
    [{ 'if-modified-since': same }, 'not-modified'],
    [{ 'if-modified-since': before }, 'proceed'],
    [{ 'if-unmodified-since': same }, 'proceed'],
    [{ 'if-unmodified-since': before }, 'failed'],
    // A match outweighs a date (RFC 9110, 13.2.2).
    [{ 'if-match': '"abc"', 'if-unmodified-since': before }, 'proceed'],
    [{ 'if-none-match': '"x"', 'if-modified-since': same }, 'proceed'],
    [{ 'if-modified-since': 'no date' }, 'proceed'],
  ] as const)('%j → %s', (headers, expected) => {
    expect(check(headers)).toBe(expected);
  });

  it('of writes are * or one ETag', () => {
    const read = (headers: Record<string, string>) => writeConditions((name) => headers[name] ?? null);
    expect(read({})).toEqual({});
    expect(read({ 'if-none-match': '*' })).toEqual({ onlyIfAbsent: true });
    expect(read({ 'if-match': '"abc"' })).toEqual({ onlyIfEtag: 'abc' });
    expect(() => read({ 'if-none-match': '"abc"' })).toThrow(S3Error);
  });
});

describe('ranges', () => {
  it.each([
    [null, null],
    ['bytes=0-0', { offset: 0, length: 1 }],
    ['bytes=0-', { offset: 0, length: 100 }],
    ['bytes=90-200', { offset: 90, length: 10 }],
    ['bytes=-10', { offset: 90, length: 10 }],
    ['bytes=-500', { offset: 0, length: 100 }],
    ['bytes=5-2', null],
    ['bytes=0-1,3-4', null],
    ['lines=1-2', null],
    ['bytes=-', null],
  ])('%s', (text, expected) => {
    expect(parseRange(text, 100)).toEqual(expected);
  });
  it.each(['bytes=100-', 'bytes=100-200', 'bytes=-0'])('%s lies outside', (text) => {
    expect(() => parseRange(text, 100)).toThrow(S3Error);
  });
  it('of copies must lie inside', () => {
    expect(parseCopyRange(null, 10)).toEqual({ offset: 0, length: 10 });
    expect(parseCopyRange('bytes=2-9', 10)).toEqual({ offset: 2, length: 8 });
    for (const text of ['bytes=2-10', 'bytes=2-', 'bytes=-2', 'bytes=5-4'])
      expect(() => parseCopyRange(text, 10)).toThrow(S3Error);
  });
});
