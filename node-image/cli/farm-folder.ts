// The folder of a local farm: what survives a stop. One process owns it at a time.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { rosterMemberSchema } from '#node/interface/config.ts';

export class FarmError extends Error {
  readonly code: 'BadFlag' | 'NotOurs' | 'InUse' | 'PortTaken' | 'NotStarted';
  constructor(code: FarmError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FarmError';
    this.code = code;
  }
}

const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const port = z.int().min(1).max(65_535);
const stateSchema = z.object({
  format: z.literal(1),
  farmUid: z.string(),
  /** Seeds of the control key, the bridge and the repairer. */
  seeds: z.object({ control: hex32, bridge: hex32, repairer: hex32 }),
  generation: z.int().min(0),
  /** Of every node, by name; chosen free once. */
  ports: z.record(z.string(), z.object({ pieces: port, libp2p: port, admin: port })),
  roster: z.array(rosterMemberSchema),
  s3Port: z.int().min(0).max(65_535),
});
type FarmState = z.infer<typeof stateSchema>;

const accountSchema = z.object({
  displayName: z.string(),
  words: z.string(),
  accessKey: z.string(),
  secretKey: z.string(),
});
export type StoredAccount = z.infer<typeof accountSchema>;

export interface FarmFolder {
  state: FarmState;
  accounts: StoredAccount[];
  path(...parts: string[]): string;
  save(): void;
  saveAccounts(): void;
  release(): void;
}

/** Opens the folder, or makes it. FarmError NotOurs, InUse. */
export function openFarmFolder(dataDir: string): FarmFolder {
  const path = (...parts: string[]) => join(dataDir, ...parts);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const stateFile = path('state.json');
  if (!existsSync(stateFile) && readdirSync(dataDir).some((name) => name !== 'lock')) {
    throw new FarmError('NotOurs', `${dataDir} holds something else than a farm: choose an empty folder with --data.`);
  }
  const release = takeLock(path('lock'), dataDir);
  try {
    const state = existsSync(stateFile) ? parse(stateFile, stateSchema) : newState();
    const accountsFile = path('accounts.json');
    const accounts = existsSync(accountsFile) ? parse(accountsFile, z.array(accountSchema)) : [];
    const folder: FarmFolder = {
      state,
      accounts,
      path,
      save: () => writeAtomic(stateFile, state),
      saveAccounts: () => {
        writeAtomic(accountsFile, accounts);
        accounts.forEach(({ words }, index) => writeAtomic(path(wordsFile(index + 1)), words));
      },
      release,
    };
    folder.save();
    return folder;
  } catch (error) {
    release();
    throw error;
  }
}

/** Of the account with this number, from 1: for `storj --words-file`. */
export const wordsFile = (number: number): string => `account-${number}.words`;

/** Readers see the old file or the new one, never half of one. */
export function writeAtomic(file: string, content: string | object): void {
  const text = typeof content === 'string' ? content : JSON.stringify(content, null, 2);
  writeFileSync(`${file}.new`, `${text}\n`, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

function newState(): FarmState {
  const seed = () => randomBytes(32).toString('hex');
  const seeds = { control: seed(), bridge: seed(), repairer: seed() };
  return { format: 1, farmUid: randomBytes(16).toString('hex'), seeds, generation: 0, ports: {}, roster: [], s3Port: 0 };
}

function parse<T>(file: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new FarmError('NotOurs', `${file} can't be read as a farm's: restore it, or choose another folder with --data.`, {
      cause,
    });
  }
}

/** Locks of this process: a pid alone can't tell them from one that an earlier process with the same pid left. */
const held = new Set<string>();

function takeLock(file: string, dataDir: string): () => void {
  for (const attempt of [1, 2]) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      held.add(file);
      return () => {
        held.delete(file);
        rmSync(file, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const holder = Number(readFileSync(file, 'utf8'));
      if (attempt === 2 || (holder === process.pid ? held.has(file) : runs(holder))) {
        throw new FarmError(
          'InUse',
          `A farm with the data in ${dataDir} runs already (process ${holder}): stop it, or choose another folder with --data.`,
        );
      }
      rmSync(file, { force: true });
    }
  }
  throw new FarmError('InUse', `${file} can't be taken.`);
}

function runs(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
