// In a process of its own: the flag that it sets is for all of V8.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const MODULE = fileURLToPath(new URL('../../../node-image/interface/idle-collection.ts', import.meta.url));
const SCRIPT = `
  const { collectWhenIdle } = await import(process.argv[1]);
  let garbage = Array.from({ length: 200_000 }, (_, i) => ({ i, text: 'text ' + i }));
  const before = process.memoryUsage().heapUsed;
  collectWhenIdle(50);
  garbage = null;
  for (let waitedMs = 0; waitedMs < 30_000 && process.memoryUsage().heapUsed > before / 2; waitedMs += 50) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  console.log(process.memoryUsage().heapUsed <= before / 2 ? 'collected' : 'kept');
`;

it('collects what is left behind when the process idles, and does not keep it alive', async () => {
  const args = ['--initial-old-space-size=256', '--input-type=module', '-e', SCRIPT, MODULE];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
  expect(stdout.trim()).toBe('collected');
});
