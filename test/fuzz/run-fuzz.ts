// So many cases from a seed: the target and the damage of case n follow from the seed and n alone.
import { setImmediate } from 'node:timers/promises';
import { Dice } from '#test/simulation/virtual-time.ts';
import { Finding, fuzzTargets, type Target } from './targets.ts';

/** Cases between two looks at memory. */
const LOOK_EVERY = 2000;
/** Messages have at most 16 MiB, and the garbage collector is lazy. */
const MAX_GROWTH_BYTES = 400 * 1024 * 1024;

export interface FuzzReport {
  cases: number;
  byTarget: Map<string, number>;
  growthBytes: number;
}

/** Throws Finding with the case's number for the first thing that must never happen. */
export async function runFuzz(input: {
  seed: number;
  from: number;
  cases: number;
  onProgress?: (done: number) => void;
}): Promise<FuzzReport> {
  const { seed, from, cases, onProgress } = input;
  const { targets, stop } = await fuzzTargets();
  const byTarget = new Map<string, number>();
  const startBytes = process.memoryUsage.rss();
  let growthBytes = 0;
  try {
    for (let number = from; number < from + cases; number++) {
      const dice = new Dice(Math.imul(seed, 0x9e3779b1) + number);
      const target = pick(targets, dice);
      byTarget.set(target.name, (byTarget.get(target.name) ?? 0) + 1);
      try {
        await target.run(dice);
      } catch (error) {
        throw new Finding(`case ${number} of seed ${seed}, ${target.name}: ${describe(error)}`, { cause: error });
      }
      if ((number - from) % LOOK_EVERY !== LOOK_EVERY - 1) continue;
      // Freed buffers are given back in turns of the event loop, and the cases by themselves take none.
      await setImmediate();
      growthBytes = Math.max(growthBytes, process.memoryUsage.rss() - startBytes);
      if (growthBytes > MAX_GROWTH_BYTES)
        throw new Finding(`Around case ${number} of seed ${seed} the memory has grown by ${growthBytes} bytes.`);
      onProgress?.(number - from + 1);
    }
  } finally {
    await stop();
  }
  return { cases, byTarget, growthBytes };
}

function pick(targets: readonly Target[], dice: Dice): Target {
  const whole = targets.reduce((sum, { weight }) => sum + weight, 0);
  let at = dice.share() * whole;
  return targets.find(({ weight }) => (at -= weight) < 0) ?? targets[0]!;
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
