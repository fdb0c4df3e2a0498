// One lock between processes, held by the kernel: `flock` keeps it for as long as its standard
// input is open, so it goes with us even when we are killed.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { hostConfig } from './config.ts';
import { ClusterError } from './errors.ts';

/** Runs work while holding the lock on path; waits at most timeoutMs for whoever else holds it. */
export async function withFileLock<T>(path: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  const args = [
    '--exclusive',
    '--timeout',
    String(Math.ceil(timeoutMs / 1000)),
    path,
    'sh',
    '-c',
    'echo locked; exec cat > /dev/null',
  ];
  const holder = spawn('flock', args, { stdio: ['pipe', 'pipe', 'ignore'], env: hostConfig().environment, detached: true });
  holder.stdin.on('error', () => {});
  const ended = new Promise<void>((resolve) => holder.on('close', () => resolve()));
  const held = await new Promise<boolean>((resolve) => {
    holder.stdout.once('data', () => resolve(true));
    holder.on('error', () => resolve(false));
    void ended.then(() => resolve(false));
  });
  if (!held)
    throw new ClusterError(
      'LockTimeout',
      `another process has been holding ${path} for ${timeoutMs / 1000} s`,
      'wait for it, or end it',
    );
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}
