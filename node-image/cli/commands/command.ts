// What a command is, and what it gets.
import type { Readable, Writable } from 'node:stream';
import type { ParseArgsOptionsConfig } from 'node:util';
import type { OpenedStorj } from '#node/device/open-storj.ts';
import type { Output } from './output.ts';

/** The process around a run. */
export interface Environment {
  argv: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
  stdin: Readable;
  stdout: Writable;
  stderr: Writable & { isTTY?: boolean; columns?: number };
  signal: AbortSignal;
}
export type Flags = Readonly<Record<string, string | boolean | string[] | undefined>>;

export interface Context extends Environment {
  args: readonly string[];
  flags: Flags;
  out: Output;
  /** The account, by words or device key. It is closed when the command ends. */
  open(): Promise<OpenedStorj>;
}

export interface Command {
  name: string;
  /** Behind `storj`. */
  usage: string;
  summary: string;
  /** Lines for `storj NAME --help`. */
  details: readonly string[];
  options: ParseArgsOptionsConfig;
  /** Least and most arguments. */
  takes: readonly [number, number];
  run(context: Context): Promise<void>;
}

/** The command line is wrong. */
export class UsageError extends Error {
  readonly code = 'Usage';
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
