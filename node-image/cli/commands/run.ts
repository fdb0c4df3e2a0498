// One run of the command: which command, which flags, who opens the account, what the end is told as.
import { parseArgs } from 'node:util';
import type { OpenedStorj } from '#node/device/open-storj.ts';
import { StorjError, type StorjErrorCode } from '#node/device/storj-error.ts';
import { openFor } from './access.ts';
import { UsageError, type Command, type Context, type Environment, type Flags } from './command.ts';
import { cp, mv } from './copy.ts';
import { get } from './get.ts';
import { grants } from './grants.ts';
import { share } from './share.ts';
import { COMMON_OPTIONS, generalHelp, helpOf } from './help.ts';
import { ls } from './list.ts';
import { localMessage } from './local-errors.ts';
import { mb, rb } from './buckets.ts';
import { put } from './put.ts';
import { createOutput } from './output.ts';
import { reset } from './reset.ts';
import { restore } from './restore.ts';
import { rm } from './remove.ts';
import { status } from './status.ts';

const COMMANDS: readonly Command[] = [ls, get, put, rm, cp, mv, mb, rb, grants, share, status, restore, reset];

/** Said in `storj --help`. */
const EXIT = { ok: 0, failed: 1, usage: 2, notFound: 3, unavailable: 4, notAllowed: 5, ended: 130 };
const EXIT_OF: Partial<Record<StorjErrorCode, number>> = {
  BadAddress: EXIT.usage,
  NoSuchBucket: EXIT.notFound,
  NoSuchKey: EXIT.notFound,
  UnknownAccount: EXIT.notFound,
  NoFarmer: EXIT.unavailable,
  Unavailable: EXIT.unavailable,
  NoAccess: EXIT.notAllowed,
  NotAllowed: EXIT.notAllowed,
};

/** Resolves with the exit code. */
export async function runStorj(environment: Environment): Promise<number> {
  const { argv, stderr } = environment;
  const isJson = argv.includes('--json');
  try {
    return await run(environment);
  } catch (error) {
    const { code, exit } = verdictOn(error, environment.signal);
    const message = localMessage(error) ?? (error instanceof Error ? error.message : String(error));
    const remedy =
      exit === EXIT.usage ? ` See: storj ${COMMANDS.some(({ name }) => name === argv[0]) ? `${argv[0]} ` : ''}--help` : '';
    stderr.write(isJson ? `${JSON.stringify({ error: { code, message } })}\n` : `storj: ${message}${remedy}\n`);
    if (code === 'Bug' && error instanceof Error && !isJson) stderr.write(`${error.stack}\n`);
    return exit;
  }
}

function verdictOn(error: unknown, signal: AbortSignal): { code: string; exit: number } {
  if (signal.aborted) return { code: 'Ended', exit: EXIT.ended };
  if (error instanceof UsageError) return { code: 'Usage', exit: EXIT.usage };
  if (error instanceof StorjError) return { code: error.code, exit: EXIT_OF[error.code] ?? EXIT.failed };
  const { code } = error as { code?: unknown };
  if (typeof code !== 'string') return { code: 'Bug', exit: EXIT.failed };
  return { code, exit: code.startsWith('ERR_PARSE_ARGS') ? EXIT.usage : EXIT.failed };
}

function commandOf(name: string): Command {
  const command = COMMANDS.find((one) => one.name === name);
  if (command === undefined) throw new UsageError(`There is no command "${name}".`);
  return command;
}

async function run(environment: Environment): Promise<number> {
  const [name = '--help', ...rest] = environment.argv;
  const { stdout } = environment;
  if (name === '--help' || name === '-h' || name === 'help') {
    const about = rest.find((one) => !one.startsWith('-'));
    stdout.write(about === undefined ? generalHelp(COMMANDS) : helpOf(commandOf(about)));
    return EXIT.ok;
  }
  if (name.startsWith('-')) throw new UsageError(`The command comes before its flags: storj COMMAND ${name}.`);
  const command = commandOf(name);
  const { values, positionals } = parseArgs({
    args: rest,
    options: { ...COMMON_OPTIONS, ...command.options },
    allowPositionals: true,
  });
  const flags = values as Flags;
  if (flags['help'] === true) {
    stdout.write(helpOf(command));
    return EXIT.ok;
  }
  const [least, most] = command.takes;
  if (positionals.length < least || positionals.length > most) throw new UsageError(`Usage: storj ${command.usage}.`);
  const opened: OpenedStorj[] = [];
  const context: Context = {
    ...environment,
    args: positionals,
    flags,
    out: createOutput(environment, flags),
    async open() {
      const storj = await openFor(environment, flags);
      opened.push(storj);
      return storj;
    },
  };
  try {
    await command.run(context);
  } finally {
    context.out.end();
    for (const storj of opened) await storj.close();
  }
  return EXIT.ok;
}
