// The simulation in npm test: at least a thousand worlds in which nothing may break, and a bug planted for each
// of mutations.ts that the same worlds have to find.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { MUTATIONS } from './mutations.ts';

const SEEDS = 1000;
/** In one process: what a world leaves behind in its process makes the next ones slower. */
const SEEDS_EACH = 100;
const HUNDREDS = Array.from({ length: SEEDS / SEEDS_EACH }, (_, i) => 1 + i * SEEDS_EACH);
/** Letters kept of a process's output: the stories of a few worlds fit. */
const MAX_OUTPUT = 20_000_000;
const here = dirname(fileURLToPath(import.meta.url));

interface Result {
  code: number | null;
  output: string;
}

/** sim.ts in a process of its own. */
function simulate(args: string[], mutation?: string): Promise<Result> {
  const hook = mutation === undefined ? [] : ['--import', join(here, 'mutate.ts')];
  const env = { ...process.env, ...(mutation === undefined ? {} : { SIM_MUTATION: mutation }) };
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...hook, join(here, 'sim.ts'), ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const add = (text: Buffer) => (output = (output + text.toString()).slice(-MAX_OUTPUT));
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

describe('simulated worlds', () => {
  it('are the same for the same seed, event by event', async () => {
    const args = ['--seeds', '6', '--from', '77', '--story'];
    const [once, again] = await Promise.all([simulate(args), simulate(args)]);
    expect(stories(again)).toBe(stories(once));
    expect(once.output.length).toBeGreaterThan(10_000);
  });

  it.concurrent.each(HUNDREDS)('hold every promise, from seed %i on', async (from) => {
    const { code, output } = await simulate(['--seeds', String(SEEDS_EACH), '--from', String(from)]);
    expect(code === 0 ? '' : output).toBe('');
  });
});

describe('a planted bug is found:', () => {
  it('at least fifteen', () => {
    expect(MUTATIONS.length).toBeGreaterThanOrEqual(15);
    expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
  });

  it.concurrent.each(MUTATIONS)('$name', async ({ name, foundBy }) => {
    // The world that is known to find it first; where the product has changed since, all of them.
    let found = await simulate(['--seeds', '1', '--from', String(foundBy)], name);
    for (const from of HUNDREDS) {
      if (found.code !== 0) break;
      found = await simulate(['--seeds', String(SEEDS_EACH), '--from', String(from), '--stop'], name);
    }
    expect(found.output).toMatch(/^seed \d+ is broken: /m);
    expect(found.code).toBe(1);
  });
});

/** Without how long it took. */
function stories({ output }: Result): string {
  return output.replaceAll(/^\d+ of \d+ seeds.*$/gm, '');
}
