// One node of the local farm as a child process: started, watched, restarted with a growing pause.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeFlags } from '#node/interface/node-flags.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
/** Time for a node to end its transfers before it is killed. */
const STOP_MS = 10_000;
const MAX_LOG_BYTES = 16 * 1024 * 1024;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** A node that ran this long before it ended is restarted without the pauses of earlier ends. */
const CALM_MS = 60_000;

export interface ChildOptions {
  /** For people: "farmer-3". */
  name: string;
  role: 'farmer' | 'bridge' | 'repairer';
  env: Record<string, string>;
  logFile: string;
  /** Ended without being asked to; it is started again after pauseMs. */
  onEnd: (reason: string, pauseMs: number) => void;
  /** Before each start. */
  prepare?: () => void;
}

export interface Child {
  readonly name: string;
  readonly pid: number | undefined;
  stop(): Promise<void>;
  /** SIGKILL, and not started again. For tests. */
  kill(): Promise<void>;
}

export function startChild(options: ChildOptions): Child {
  let child: ChildProcess | undefined;
  let stopping = false;
  let pauseMs = FIRST_PAUSE_MS;
  let timer: NodeJS.Timeout | undefined;
  let ended: Promise<void> = Promise.resolve();

  const start = () => {
    options.prepare?.();
    const log = openLog(options.logFile);
    const startedMs = performance.now();
    child = spawn(process.execPath, [...nodeFlags(options.role), MAIN, options.role], {
      env: options.env,
      // The channel says nothing; when it closes, the node knows that the farm's process is gone.
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    ended = new Promise((resolve) => {
      const onEnd = (reason: string) => {
        resolve();
        if (stopping) return;
        if (performance.now() - startedMs > CALM_MS) pauseMs = FIRST_PAUSE_MS;
        options.onEnd(reason, pauseMs);
        timer = setTimeout(start, pauseMs);
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      };
      child?.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`));
      child?.once('error', (error) => onEnd(error.message));
    });
  };
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    stopping = true;
    clearTimeout(timer);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    const killer = setTimeout(() => child?.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(killer);
  };
  start();
  return {
    name: options.name,
    get pid() {
      return child?.pid;
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}

function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  if (existsSync(file) && statSync(file).size > MAX_LOG_BYTES) renameSync(file, `${file}.old`);
  return openSync(file, 'a');
}
