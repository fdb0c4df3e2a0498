// What `--help` says.
import type { ParseArgsOptionsConfig } from 'node:util';
import type { Command } from './command.ts';

export const COMMON_OPTIONS = {
  'words-file': { type: 'string' },
  grant: { type: 'string' },
  farmer: { type: 'string', multiple: true },
  config: { type: 'string' },
  state: { type: 'string' },
  json: { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
  help: { type: 'boolean', short: 'h' },
} as const satisfies ParseArgsOptionsConfig;

const COMMON_HELP = `Who opens the account (words are never an argument: other users see a machine's command lines, and shells keep them)
  --words-file FILE   the 24 words; - reads them from standard input  [or STORJ_WORDS]
  --grant FILE        a grant, for one bucket and without words       [or STORJ_GRANT; its holder's seed: STORJ_GRANT_KEY]
  --farmer ADDRESS    https://host:port#PEER_ID of any farmer;        [or STORJ_FARMER, with commas]
                      again for more
  --config DIR        what "storj restore" wrote: a device key        [~/.config/storj]
                      and addresses
  --state DIR         catalog and logs of this device                 [~/.local/state/storj]
Everywhere
  --json              one JSON object for each line, errors too (on standard error)
  -q, --quiet         no progress
  -h, --help          this
`;

export function generalHelp(commands: readonly Command[]): string {
  const lines = commands.map(({ usage, summary }) => `  storj ${usage}\n      ${summary}`);
  return `storj: buckets and objects straight from the farmers. Works with bridge, repairer and operator switched off.

${lines.join('\n')}

An object is sj://BUCKET/KEY, or BUCKET/KEY where nothing else can be meant. Keys that end with / mean all below.

${COMMON_HELP}
Exit codes: 0 done, 1 failed, 2 wrong command line, 3 no such thing, 4 too few farmers answer (try again), 5 not allowed,
130 ended by a signal.
`;
}

export function helpOf({ usage, summary, details }: Command): string {
  return `storj ${usage}\n\n${summary}.\n${details.map((line) => `${line}\n`).join('')}\n${COMMON_HELP}`;
}
