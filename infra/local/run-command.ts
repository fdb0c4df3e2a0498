// Runs one command to its end, with bounded output and a bounded wait.
import { spawn } from 'node:child_process';
import { hostConfig } from './config.ts';
import { ClusterError } from './errors.ts';

const DEFAULT_TIMEOUT_MS = 120_000;
/** Enough for `kubectl get -o json` of a whole test cluster; more is cut and said so in the error. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const MAX_ERROR_TEXT = 4_000;

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Called with each line of standard error while the command runs. */
  readonly onErrorLine?: (line: string) => void;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

export class CommandFailedError extends ClusterError {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;

  constructor(command: string, why: string, result: CommandResult, exitCode: number | undefined) {
    const detail = (result.stderr.trim() || result.stdout.trim()).slice(-MAX_ERROR_TEXT);
    super('CommandFailed', `${command} ${why}${detail === '' ? '' : `: ${detail}`}`, '');
    this.name = 'CommandFailedError';
    this.exitCode = exitCode;
    this.stdout = result.stdout;
    this.stderr = result.stderr;
  }
}

/** Resolves with the output of a command that ended with 0; throws CommandFailedError otherwise, also when killed. */
export async function runCommand(command: string, args: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  const child = spawn(command, args, {
    env: { ...hostConfig().environment, ...options.env },
    cwd: options.cwd,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  const label = [command.split('/').at(-1), ...args].join(' ').slice(0, 300);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let outputBytes = 0;
  let tail = '';
  const collect = (into: Buffer[]) => (chunk: Buffer) => {
    outputBytes += chunk.length;
    if (outputBytes > MAX_OUTPUT_BYTES) child.kill('SIGKILL');
    else into.push(chunk);
  };
  child.stdout?.on('data', collect(stdout));
  child.stderr?.on('data', collect(stderr));
  if (options.onErrorLine !== undefined) {
    child.stderr?.on('data', (chunk: Buffer) => {
      const lines = (tail + chunk.toString('utf8')).split('\n');
      tail = lines.pop() ?? '';
      for (const line of lines) options.onErrorLine?.(line);
    });
  }
  const onAbort = () => void child.kill('SIGTERM');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const ended = new Promise<{ code: number | null; error?: Error }>((resolve) => {
      child.on('error', (error) => resolve({ code: null, error }));
      child.on('close', (code) => resolve({ code }));
    });
    if (options.input !== undefined) {
      child.stdin?.on('error', () => {}); // the exit code tells why it stopped reading
      child.stdin?.end(options.input);
    }
    if (signal.aborted) onAbort();
    const { code, error } = await ended;
    const result = { stdout: Buffer.concat(stdout).toString('utf8'), stderr: Buffer.concat(stderr).toString('utf8') };
    if (error !== undefined) throw new CommandFailedError(label, `couldn't be started (${error.message})`, result, undefined);
    if (options.signal?.aborted === true) throw options.signal.reason;
    if (timeout.aborted)
      throw new CommandFailedError(label, `didn't end within ${options.timeoutMs ?? DEFAULT_TIMEOUT_MS} ms`, result, undefined);
    if (outputBytes > MAX_OUTPUT_BYTES)
      throw new CommandFailedError(label, `printed more than ${MAX_OUTPUT_BYTES} bytes`, { stdout: '', stderr: '' }, undefined);
    if (code !== 0) throw new CommandFailedError(label, `ended with ${code ?? 'a signal'}`, result, code ?? undefined);
    return result;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
