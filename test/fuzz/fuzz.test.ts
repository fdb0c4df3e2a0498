// A sample of `npm run fuzz`.
import { describe, expect, it } from 'vitest';
import { runFuzz } from './run-fuzz.ts';

describe('bad input', () => {
  it('crashes nothing, is never taken for signed, and costs no more memory than it has', async () => {
    const report = await runFuzz({ seed: 1, from: 0, cases: 20_000 });
    expect(report.cases).toBe(20_000);
    expect(report.byTarget.size).toBeGreaterThan(50);
  }, 120_000);
});
