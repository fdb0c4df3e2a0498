// What `storj restore` leaves on a machine: the device's key and where the farm is. Not the words: a device
// that is lost is one key less, not the account.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { StorjError } from '#node/device/storj-error.ts';
import type { Environment, Flags } from './command.ts';

const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const schema = z.object({
  format: z.literal(1),
  owner: hex32,
  deviceSeed: hex32,
  /** Control key of the farm. */
  farm: hex32,
  farmers: z.array(z.string()),
});
export type DeviceConfig = z.infer<typeof schema>;

type Where = Pick<Environment, 'env'>;
const home = ({ env }: Where, own: string, ...below: string[]): string => env[own] ?? join(env['HOME'] ?? '/', ...below);

export function configFolder(where: Where, flags: Flags): string {
  return (flags['config'] as string | undefined) ?? join(home(where, 'XDG_CONFIG_HOME', '.config'), 'storj');
}
export function stateFolder(where: Where, flags: Flags): string {
  return (flags['state'] as string | undefined) ?? join(home(where, 'XDG_STATE_HOME', '.local', 'state'), 'storj');
}

/** Null where there is none. */
export async function loadConfig(folder: string): Promise<DeviceConfig | null> {
  const file = join(folder, 'config.json');
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    if ((cause as { code?: string }).code === 'ENOENT') return null;
    throw new StorjError(
      'NoAccess',
      `${file} can't be read as a device's: run "storj restore" again, or choose another with --config.`,
      {
        cause,
      },
    );
  }
}

/** Resolves with the file's name. Only its owner may read it. */
export async function saveConfig(folder: string, config: DeviceConfig): Promise<string> {
  const file = join(folder, 'config.json');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(`${file}.new`, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600, flush: true });
  await rename(`${file}.new`, file);
  return file;
}
