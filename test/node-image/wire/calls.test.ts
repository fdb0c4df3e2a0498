import { describe, expect, it } from 'vitest';
import * as calls from '#node/wire/calls.ts';
import { encode, hex32, struct, text } from '#node/wire/codec.ts';
import { MAX_HEAD_BYTES } from '#node/wire/types.ts';
import { bodies, bodyCodecs, bodyNames, callHeads } from './call-samples.ts';
import { id } from './samples.ts';

const operations = Object.keys(callHeads) as (keyof typeof callHeads)[];

describe('heads', () => {
  it.each(operations)('of %s come back as they were, both ways', (operation) => {
    const { call, answer } = callHeads[operation];
    expect(calls.decodeCallHead(operation, calls.encodeCallHead(operation, call))).toEqual(call);
    expect(calls.decodeAnswerHead(operation, calls.encodeAnswerHead(operation, answer))).toEqual(answer);
  });

  it('of a newer peer may carry more', () => {
    const newer = encode(struct<{ owner: string; grant: string }>({ owner: hex32, grant: text(10) }), {
      owner: id(1),
      grant: 'x',
    });
    expect(calls.decodeCallHead('log.seal', newer)).toEqual({ owner: id(1) });
  });

  it('stay small', () => {
    expect(() => calls.decodeCallHead('farm.members', new Uint8Array(MAX_HEAD_BYTES + 1))).toThrow('At most');
    const nearest = Array.from({ length: 10 }, () => ({ farmer: id(1), url: 'https://x' }));
    expect(() => calls.encodeAnswerHead('roots.get', { nearest })).toThrow('at most 9');
  });

  it('of a log as detail of an error', () => {
    const head = { seq: 3, hash: id(3), epoch: 1 };
    expect(calls.decodeLogHead(calls.encodeLogHead(head))).toEqual(head);
  });
});

describe('bodies', () => {
  it.each(bodyNames)('%s comes back as it was', (name) => {
    const codec = bodyCodecs[name];
    const bytes = codec.encode(bodies[name]);
    expect(bytes.length).toBeLessThanOrEqual(codec.maxBytes);
    expect(codec.decode(bytes)).toEqual(bodies[name]);
    expect(() => codec.decode(new Uint8Array(codec.maxBytes + 1))).toThrow('At most');
  });

  it('the largest answers that farmers give fit', () => {
    const many = <T>(count: number, one: T) => Array.from({ length: count }, () => one);
    const held = many(1000, bodies.heldPieces.held[0]!);
    expect(calls.heldPieces.encode({ held }).length).toBeLessThanOrEqual(calls.heldPieces.maxBytes);
    const ids = many(1000, id(1));
    expect(calls.pieceIds.encode({ pieceIds: ids }).length).toBeLessThanOrEqual(calls.pieceIds.maxBytes);
    expect(calls.ownerPage.encode({ owners: ids, next: id(2) }).length).toBeLessThanOrEqual(calls.ownerPage.maxBytes);
    const wholeSegment = { ...bodies.pieceRange, leafHashes: new Uint8Array(32 * 1024) };
    expect(calls.pieceRange.encode(wholeSegment).length).toBeLessThanOrEqual(calls.pieceRange.maxBytes);
    const logs = many(20_000, { ...bodies.bucketHeads.logs[0]!, seq: Number.MAX_SAFE_INTEGER });
    expect(calls.bucketHeads.encode({ ...bodies.bucketHeads, logs }).length).toBeLessThanOrEqual(calls.bucketHeads.maxBytes);
  });

  it('that contradict themselves are refused', () => {
    expect(() => calls.pieceFooter.encode({ ...bodies.pieceFooter, index: 3 })).toThrow('below the total');
    expect(() => calls.pieceRange.encode({ ...bodies.pieceRange, leafHashes: new Uint8Array(33) })).toThrow('32 bytes each');
  });
});
