import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { segmentHealth, type FarmerState } from '#node/core/segment-health.ts';
import { IN_CHECKPOINT } from '#node/repairer/index-cuts.ts';
import { SegmentIndex } from '#node/repairer/segment-index.ts';
import type { SegmentPlacement } from '#node/wire/types.ts';

const folder = mkdtempSync(join(tmpdir(), 'repairer-index-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const key = (name: string) => Buffer.from(name.padEnd(32, '.')).toString('hex');
const OWNER = key('owner');
const BUCKET = '1'.repeat(32);
const COPY = '2'.repeat(32);
const tagOf = (name: string) => Buffer.from(name.padEnd(16, '.')).toString('hex');

function placement(name: string, farmers: (string | null)[] = ['a', 'b', 'c']): SegmentPlacement {
  return {
    segmentId: key(name),
    secret: Buffer.from(name.padEnd(32, '#')),
    scheme: { required: 2, repair: 2, optimal: 3, total: farmers.length },
    sizeBytes: 200,
    root: key(`root ${name}`),
    farmers: farmers.map((farmer) => (farmer === null ? null : key(farmer))),
    createdMs: 7,
  };
}
const derived = (name: string) => ({ tag: tagOf(name), pieceBytes: 100 });
const LOG = key('log');
const add = (index: SegmentIndex, name: string, bucket = BUCKET, farmers?: (string | null)[]) =>
  index.addSegment(OWNER, bucket, placement(name, farmers), derived(name), { logId: LOG, seq: 1 });

describe('segment index', () => {
  it('gives back what was put in', () => {
    const index = new SegmentIndex(':memory:');
    const id = add(index, 'one', BUCKET, ['a', null, 'c']);
    expect(index.segment(id)).toEqual({
      id,
      owner: OWNER,
      segmentId: key('one'),
      secret: new Uint8Array(Buffer.from('one'.padEnd(32, '#'))),
      root: key('root one'),
      sizeBytes: 200,
      pieceBytes: 100,
      scheme: { required: 2, repair: 2, optimal: 3, total: 3 },
      holders: [[key('a')], [], [key('c')]],
      attempts: 0,
      isInSeveralBuckets: false,
    });
    expect(index.figures.ofFarmer(key('a'))).toEqual({ pieces: 1, pieceBytes: 100, piecesToMove: 0 });
    expect(index.owners()).toEqual([OWNER]);
    expect(index.segmentsByTag(OWNER, tagOf('one'))).toEqual([id]);
    expect(index.segmentsByTag(key('other'), tagOf('one'))).toEqual([]);
  });

  it('lets a segment go by cuts alone, never one that lives, in whatever order the logs are read', () => {
    const step = fc.record({ log: fc.constantFrom('A', 'B'), name: fc.constantFrom('one', 'two'), by: fc.constantFrom(1, -1) });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 14 }),
        fc.array(fc.nat(14), { maxLength: 3 }),
        fc.array(fc.nat(1)),
        (steps, cutAt, picks) => {
          const seqs = { A: 0, B: 0 };
          const written = steps.map(({ log, name, by }, at) => ({ log, name, by, at, seq: ++seqs[log] }));
          const named = (name: string, before: number) =>
            written.filter((one) => one.name === name && one.at < before).reduce((sum, { by }) => sum + by, 0);
          const headOf = (log: string, before: number) => written.filter((one) => one.log === log && one.at < before).length;
          const cuts = [...cutAt]
            .sort((a, b) => a - b)
            .map((before) => ({
              cutMs: 10 * before,
              statement: Buffer.from(`cut ${before}`),
              heads: ['A', 'B'].map((log) => ({ bucketId: BUCKET, logId: key(log), seq: headOf(log, before), hash: key('h') })),
              dropped: ['one', 'two'].filter((name) => named(name, before) <= 0).map(key),
            }));
          const index = new SegmentIndex(':memory:');
          // One log may be far ahead of the other; cuts are applied as soon as both are read up to their heads.
          const left = { A: written.filter(({ log }) => log === 'A'), B: written.filter(({ log }) => log === 'B') };
          const read = { A: 0, B: 0 };
          const applyDue = () => {
            while (cuts[0]?.heads.every(({ seq }, i) => read[i === 0 ? 'A' : 'B'] >= seq))
              index.cuts.apply(OWNER, cuts.shift()!, new Map());
          };
          for (let turn = 0; left.A.length + left.B.length > 0; turn++) {
            applyDue();
            const log = picks[turn] === 1 ? 'B' : 'A';
            const next = left[log].shift() ?? left[log === 'A' ? 'B' : 'A'].shift()!;
            read[next.log]++;
            const from = { logId: key(next.log), seq: next.seq };
            if (next.by === 1) index.addSegment(OWNER, BUCKET, placement(next.name), derived(next.name), from);
            else index.releaseSegment(OWNER, key(next.name), 10 * next.at);
          }
          applyDue();
          index.cuts.reviveReleased(OWNER, Infinity);
          const lastCut = Math.max(0, ...cutAt);
          const living = index.allSegments(0, 100).map((id) => index.segment(id)!.segmentId);
          for (const name of ['one', 'two']) {
            const broughtIn = written.some((one) => one.name === name && one.by === 1);
            const since = written.some((one) => one.name === name && one.by === 1 && one.at >= lastCut);
            if (broughtIn && named(name, Infinity) > 0) expect(living).toContain(key(name));
            if (cutAt.length > 0 && named(name, lastCut) <= 0 && !since) expect(living).not.toContain(key(name));
          }
          expect(index.figures.totals().segments).toBe(living.length);
          expect(index.figures.ofFarmer(key('b'))).toMatchObject({ pieces: living.length, pieceBytes: 100 * living.length });
          index.close();
        },
      ),
    );
  });

  it('lets what a checkpoint names go by the first cut that knows all that it covers, as far as that counts', () => {
    const ends = new Map([
      [key('A'), Infinity],
      [key('B'), 3],
    ]);
    const covered = new Map(Object.entries({ A: 2, B: 4, gone: 7 }).map(([log, seq]) => [key(log), { seq }]));
    const livesAfter = (heads: Record<string, number>) => {
      const index = new SegmentIndex(':memory:');
      index.cuts.setCheckpoint(OWNER, BUCKET, covered);
      const id = index.addSegment(OWNER, BUCKET, placement('one'), derived('one'), IN_CHECKPOINT);
      const told = Object.entries(heads).map(([log, seq]) => ({ bucketId: BUCKET, logId: key(log), seq, hash: key('h') }));
      index.cuts.apply(OWNER, { cutMs: 5, statement: Buffer.from('cut'), heads: told, dropped: [key('one')] }, ends);
      return index.segment(id) !== null;
    };
    expect(livesAfter({})).toBe(true);
    expect(livesAfter({ A: 1, B: 3 })).toBe(true);
    expect(livesAfter({ A: 9, B: 2 })).toBe(true);
    expect(livesAfter({ A: 2, B: 3 })).toBe(false);
  });

  it('leaves alone what an entry let go, until a cut or time says that it lives', () => {
    const index = new SegmentIndex(':memory:');
    const id = add(index, 'one');
    index.releaseSegment(OWNER, key('one'), 500);
    index.releaseSegment(OWNER, key('never seen'), 500);
    expect([index.segment(id), index.figures.totals().segments, index.figures.ofFarmer(key('a')).pieces]).toEqual([null, 0, 0]);
    expect(index.cuts.reviveReleased(OWNER, 500)).toEqual([]);
    expect(index.cuts.reviveReleased(OWNER, 501)).toEqual([id]);
    expect([index.segment(id)?.segmentId, index.figures.totals().segments, index.figures.ofFarmer(key('a')).pieces]).toEqual([
      key('one'),
      1,
      1,
    ]);
  });

  it('brings released segments back a page at a time, each once', () => {
    const index = new SegmentIndex(':memory:');
    const names = Array.from({ length: 1100 }, (_, i) => `segment ${i}`);
    for (const name of names) add(index, name);
    for (const name of names) index.releaseSegment(OWNER, key(name), 500);
    const revived: number[] = [];
    for (let page = index.cuts.reviveReleased(OWNER, 501); page.length > 0;) {
      expect(page.length).toBeLessThan(names.length);
      revived.push(...page);
      page = index.cuts.reviveReleased(OWNER, 501, revived.at(-1));
    }
    expect(new Set(revived).size).toBe(names.length);
    expect([revived.length, index.figures.totals().segments]).toEqual([names.length, names.length]);
    index.close();
  });

  it('keeps cuts until they can be applied, and the newest one for farmers', () => {
    const index = new SegmentIndex(':memory:');
    const cut = (cutMs: number) => ({ statement: new Uint8Array([cutMs]), heads: [], dropped: [] });
    for (const cutMs of [3, 2, 4]) index.cuts.keep(OWNER, cutMs, cut(cutMs));
    expect([...index.cuts.waiting(OWNER)].map(({ cutMs }) => cutMs)).toEqual([2, 3, 4]);
    expect(index.cuts.applied(OWNER)).toBeNull();
    index.cuts.forget(OWNER, cut(2).statement);
    for (const waiting of index.cuts.waiting(OWNER)) index.cuts.apply(OWNER, waiting, new Map());
    expect([[...index.cuts.waiting(OWNER)], index.cuts.applied(OWNER)]).toEqual([
      [],
      { cutMs: 4, statement: new Uint8Array([4]) },
    ]);
  });

  it('follows moves, and keeps those that come before their segment', () => {
    const index = new SegmentIndex(':memory:');
    index.keepWaiting(OWNER, BUCKET, tagOf('one'), Buffer.from('sealed'));
    const id = add(index, 'one');
    expect(index.takeWaiting(OWNER, tagOf('one'))).toEqual([{ bucketId: BUCKET, sealed: new Uint8Array(Buffer.from('sealed')) }]);
    expect(index.takeWaiting(OWNER, tagOf('one'))).toEqual([]);
    index.addMove(id, BUCKET, { pieceNumber: 1, farmer: key('x'), sealed: Buffer.from('r') });
    index.addMove(id, BUCKET, { pieceNumber: 1, farmer: key('x'), sealed: Buffer.from('r') });
    expect(index.segment(id)?.holders).toEqual([[key('a')], [key('b'), key('x')], [key('c')]]);
    expect(index.figures.ofFarmer(key('x'))).toEqual({ pieces: 1, pieceBytes: 100, piecesToMove: 0 });
  });

  it('finds moves that a copy’s readers haven’t heard of', () => {
    const index = new SegmentIndex(':memory:');
    const id = add(index, 'one');
    index.addMove(id, BUCKET, { pieceNumber: 1, farmer: key('x'), sealed: Buffer.from('r') });
    expect(index.untoldMoves(10)).toEqual([]);
    index.addSegment(OWNER, COPY, placement('one'), derived('one'), { logId: key('log of the copy'), seq: 1 });
    expect(index.bucketsOf(id).sort()).toEqual([BUCKET, COPY]);
    const move = { pieceNumber: 1, farmer: key('x'), sealed: new Uint8Array(Buffer.from('r')) };
    expect(index.untoldMoves(10)).toEqual([{ id, owner: OWNER, tag: tagOf('one'), bucketId: COPY, move }]);
    index.addMove(id, COPY, move);
    expect(index.untoldMoves(10)).toEqual([]);
  });

  it('queues the most endangered first, and lets those that failed wait', () => {
    const index = new SegmentIndex(':memory:');
    const lost = new Set([key('a')]);
    const stateOf = (farmer: string): FarmerState => (lost.has(farmer) ? 'Lost' : 'Online');
    const judge = (id: number) => {
      const health = segmentHealth(index.segment(id)!, stateOf, { activeFarmers: 9 });
      index.setHealth(
        id,
        health,
        health.missing.map((pieceNumber) => ({ pieceNumber, farmer: key('a') })),
        77,
      );
      return id;
    };
    const whole = judge(add(index, 'whole', BUCKET, ['d', 'e', 'f']));
    const one = judge(add(index, 'one', BUCKET, ['a', 'e', 'f']));
    lost.add(key('b')).add(key('c'));
    const gone = judge(add(index, 'gone', BUCKET, ['a', 'b', 'f']));
    const wide = index.addSegment(
      OWNER,
      BUCKET,
      { ...placement('wide', ['a', 'd', 'e', 'f']), scheme: { required: 2, repair: 3, optimal: 4, total: 4 } },
      derived('wide'),
      { logId: LOG, seq: 1 },
    );
    judge(wide);
    expect(index.queue.due(0, 10)).toEqual([one, wide, gone]);
    expect([index.queue.sinceMs(one), index.queue.sinceMs(999)]).toEqual([77, 0]);
    expect(index.figures.totals()).toEqual({
      segments: 4,
      queued: 3,
      crowded: 0,
      byState: { Healthy: 1, Degraded: 1, AtRisk: 1, Unreadable: 1 },
      margin: -1,
      byScheme: { '2/2/3/3': 3, '2/3/4/4': 1 },
    });
    expect(index.figures.ofFarmer(key('a')).piecesToMove).toBe(3);
    index.queue.retryLater(one, 500);
    expect(index.queue.due(499, 10)).toEqual([wide, gone]);
    expect(index.queue.due(500, 1)).toEqual([one]);
    expect(index.segment(one)?.attempts).toBe(1);
    index.queue.retryAll();
    expect(index.queue.due(0, 10)).toEqual([one, wide, gone]);
    index.releaseSegment(OWNER, key('one'), 1);
    expect(index.queue.due(0, 10)).toEqual([wide, gone]);
    expect(index.figures.ofFarmer(key('a')).piecesToMove).toBe(2);
    expect(index.segmentsOn(key('f'), 0, 2)).toEqual([whole, one]);
    expect(index.segmentsOn(key('f'), one, 9)).toEqual([gone, wide]);
  });

  it('leaves suspects out of the holders until a new receipt or a second word', () => {
    const index = new SegmentIndex(':memory:');
    const id = add(index, 'one');
    index.setSuspect(id, 0, key('a'), 'Missing');
    expect(index.segment(id)?.holders[0]).toEqual([]);
    index.setSuspect(id, 0, key('a'), 'None');
    expect(index.segment(id)?.holders[0]).toEqual([key('a')]);
  });

  it('keeps everything over a restart, forgets an owner whole, and starts empty after damage', () => {
    const path = join(folder, 'index.sqlite');
    const first = new SegmentIndex(path);
    const id = first.transaction(() => {
      first.setPosition(OWNER, BUCKET, key('log'), { seq: 3, hash: key('hash') });
      return add(first, 'one');
    });
    expect(() =>
      first.transaction(() => {
        add(first, 'two', BUCKET, ['new']);
        throw new Error('no');
      }),
    ).toThrow('no');
    first.close();
    const second = new SegmentIndex(path);
    expect(second.positions(OWNER, BUCKET)).toEqual(new Map([[key('log'), { seq: 3, hash: key('hash') }]]));
    expect(second.allSegments(0, 9)).toEqual([id]);
    second.forgetOwner(OWNER);
    expect([second.positions(OWNER, BUCKET).size, second.owners(), second.figures.totals().segments]).toEqual([0, [OWNER], 0]);
    expect(second.figures.ofFarmer(key('a'))).toEqual({ pieces: 0, pieceBytes: 0, piecesToMove: 0 });
    add(second, 'one');
    second.close();
    writeFileSync(path, 'not a database, but long enough to be read as one? no.'.repeat(100));
    const third = new SegmentIndex(path);
    expect(third.figures.totals().segments).toBe(0);
    add(third, 'one');
    third.close();
  });

  it('starts empty once a page turns out to be damaged', () => {
    const path = join(folder, 'damaged.sqlite');
    const first = new SegmentIndex(path);
    first.transaction(() => {
      for (let i = 0; i < 200; i++) add(first, `segment ${i}`);
    });
    first.close();
    const pages = readFileSync(path);
    // The tables' names lie before it.
    writeFileSync(path, pages.fill(0xff, pages.length / 2));
    const second = new SegmentIndex(path);
    expect(() => second.allSegments(0, 1000).map((id) => second.segment(id))).toThrow('malformed');
    second.close();
    const third = new SegmentIndex(path);
    add(third, 'one');
    expect(third.figures.totals().segments).toBe(1);
    third.close();
    const fourth = new SegmentIndex(path);
    expect(fourth.figures.totals().segments).toBe(1);
    fourth.close();
  });
});
