// Who opens the account: words, a grant, or the device key that `storj restore` left on this machine.
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { fromHex } from '#node/core/ids.ts';
import { openStorj, type OpenedStorj } from '#node/device/open-storj.ts';
import { StorjError } from '#node/device/storj-error.ts';
import { UsageError, type Environment, type Flags } from './command.ts';
import { configFolder, loadConfig, stateFolder } from './device-config.ts';
import { namedFile } from './local-errors.ts';

export async function openFor(environment: Environment, flags: Flags): Promise<OpenedStorj> {
  const { signal } = environment;
  const words = await wordsFrom(environment, flags);
  const config = await loadConfig(configFolder(environment, flags));
  const named = farmersFrom(environment, flags);
  const farmers = named.length > 0 ? named : (config?.farmers ?? []);
  const grant = words === null ? await grantFrom(environment, flags) : null;
  if (grant !== null) {
    const state = flags['state'] as string | undefined;
    return await openStorj({ ...grant, farmers: named, signal, ...(state === undefined ? {} : { stateDir: state }) });
  }
  if (farmers.length === 0 && words === null) {
    throw new UsageError(
      'Which account, and where? Give a grant (--grant FILE, STORJ_GRANT), or the words and one farmer (--words-file FILE --farmer ADDRESS), or run "storj restore" once.',
    );
  }
  if (farmers.length === 0) {
    throw new UsageError('Which farm? Name one of its farmers: --farmer https://host:port#PEER_ID, or STORJ_FARMER.');
  }
  if (words !== null) {
    // Words come and go with a command; state stays only where it is asked for.
    const stateDir = flags['state'] as string | undefined;
    return await openStorj({ words, farmers, signal, ...(stateDir === undefined ? {} : { stateDir }) });
  }
  if (config === null) {
    throw new StorjError(
      'NoAccess',
      'Nothing opens an account here: give the words (--words-file FILE, STORJ_WORDS) or a grant (--grant FILE, STORJ_GRANT), or run "storj restore" once.',
    );
  }
  const device = { owner: config.owner, seed: fromHex(config.deviceSeed, 32) };
  return await openStorj({ device, farmers, farm: config.farm, stateDir: stateFolder(environment, flags), signal });
}

/** The text itself is never said again. */
function holderSeed(text: string): Uint8Array {
  if (/^[0-9a-f]{64}$/.test(text.trim())) return fromHex(text.trim(), 32);
  throw new UsageError('STORJ_GRANT_KEY is the seed that "storj grants key" or "ask" printed: 64 hex digits.');
}

/** Null where none are given. */
export async function wordsFrom({ env, stdin }: Environment, flags: Flags): Promise<string | null> {
  const file = flags['words-file'] as string | undefined;
  if (file === undefined) return env['STORJ_WORDS'] === undefined ? null : tidy(env['STORJ_WORDS']);
  return tidy(file === '-' ? await text(stdin) : await namedFile(readFile(file, 'utf8')));
}

/** Null where none is given. */
export async function grantFrom({ env }: Pick<Environment, 'env'>, flags: Flags): Promise<HeldGrant | null> {
  const given = (flags['grant'] as string | undefined) ?? env['STORJ_GRANT'];
  if (given === undefined) return null;
  const seed = env['STORJ_GRANT_KEY'];
  const isText = flags['grant'] === undefined || given.startsWith('sj-grant/');
  const grant = isText ? given : await namedFile(readFile(given, 'utf8'));
  return { grant, ...(seed === undefined ? {} : { holderSeed: holderSeed(seed) }) };
}
interface HeldGrant {
  grant: string;
  holderSeed?: Uint8Array;
}

const tidy = (words: string): string => words.trim().toLowerCase().split(/\s+/).join(' ');

export function farmersFrom({ env }: Environment, flags: Flags): string[] {
  const named = flags['farmer'] as string[] | undefined;
  return named ?? (env['STORJ_FARMER'] ?? '').split(/[\s,]+/).filter((one) => one !== '');
}
