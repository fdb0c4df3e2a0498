import { describe, expect, it } from 'vitest';
import { acknowledgedHeads, logState, type LogState } from '#node/log/log-reader.ts';
import type { BucketHeads } from '#node/wire/calls.ts';
import type { LogView } from '#node/wire/root-view.ts';

const view = { logId: 'log' } as LogView;
const firstSeq = (f: number, ...firstSeqs: number[]) => {
  const head = (one: number) => ({ logId: 'log', seq: 9, hash: 'h', sealed: false, firstSeq: one });
  const answers = new Map<string, BucketHeads>();
  for (const one of firstSeqs) answers.set(`farmer ${answers.size}`, { epoch: 1, setMember: true, logs: [head(one)] });
  return logState(view, answers, f).firstSeq;
};

describe('the first batch that is kept', () => {
  it('is not what f replicas claim alone: a reader would wait for it in vain', () => {
    expect(firstSeq(1, 1, 4, 4)).toBe(4);
    expect(firstSeq(1, 4, 1, 1)).toBe(1);
    expect(firstSeq(2, 1, 1, 4, 4, 4)).toBe(4);
  });
  it('is the last where only f hold the log, and none where nobody does', () => {
    expect(firstSeq(1, 3)).toBe(3);
    expect(firstSeq(1)).toBe(Infinity);
  });
});

describe('heads that a writer may tell others of', () => {
  it('are those that more than f replicas have: the rest may end below', () => {
    const state = (logId: string, seq: number, holders: number) =>
      ({ log: { logId }, seq, hash: 'h', holders: Array.from({ length: holders }, (_, i) => `farmer ${i}`) }) as LogState;
    const set = { epoch: 1, f: 1, members: ['a', 'b', 'c'] };
    const logs = [state('sure', 3, 2), state('sent to one', 4, 1), state('empty', 0, 3)];
    expect(acknowledgedHeads({ set, logs })).toEqual([{ logId: 'sure', seq: 3, hash: 'h' }]);
  });
});
