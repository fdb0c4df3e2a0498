import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { nodeFlags } from '#node/interface/node-flags.ts';

it('benchmarks and the command run with the flags of a bridge', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
  const memory = nodeFlags('bridge').filter((flag) => /size=\d+$/.test(flag));
  expect(memory).toHaveLength(2);
  const [program] = readFileSync('node-image/cli/storj.ts', 'utf8').split('\n');
  for (const started of [scripts['bench'], scripts['storj'], `${program} `])
    for (const flag of memory) expect(started).toContain(` ${flag} `);
});
