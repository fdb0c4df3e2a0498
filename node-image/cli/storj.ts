#!/usr/bin/env -S node --max-semi-space-size=4 --initial-old-space-size=128
// `storj`: an account's buckets and objects from any machine, straight from the farmers.
import { enableCompileCache } from 'node:module';

// Compiled code of the run before: half of the time to the first byte.
enableCompileCache();
const { runStorj } = await import('./commands/run.ts');

// A reader that has seen enough (`storj ls … | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    stopping.abort(new Error(`ended by ${signal}`));
    // Told twice, it goes at once: everything that was acknowledged is on the farmers.
    process.once(signal, () => process.exit(130));
  });
}
process.exitCode = await runStorj({
  argv: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stopping.signal,
});
