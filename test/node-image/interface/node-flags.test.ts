import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { nodeFlags } from '#node/interface/node-flags.ts';

it('benchmarks run with the flags of a bridge', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
  const memory = nodeFlags('bridge').filter((flag) => /size=\d+$/.test(flag));
  expect(memory).toHaveLength(2);
  for (const flag of memory) expect(scripts['bench']).toContain(` ${flag} `);
});
