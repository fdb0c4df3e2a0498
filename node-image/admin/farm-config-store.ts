// The farm's configuration as this node applies it. Two sources, one rule: the file that the ConfigMap
// mounts (watched) and PUT /admin/config; the higher (epoch, generation) of the same farm wins, and a
// new farm uid under the same control key starts anew. A farm that was left is never gone back to.
import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { farmConfigSchema, type FarmConfig } from '#node/interface/config.ts';
import type { Log } from './log.ts';

/** A ConfigMap's change reaches the mounted file within a minute; looking costs a stat. */
const POLL_MS = 1_000;
const MAX_CONFIG_BYTES = 32 * 1024 * 1024;
const MAX_LEFT_FARMS = 100;

export type Verdict = 'applied' | 'same' | 'older' | 'foreign';

export interface FarmConfigStore {
  /** Null until the first one arrives. */
  current(): FarmConfig | null;
  /** Already validated. */
  offer(config: FarmConfig): Verdict;
  /**
   * Called after each change, and now where another than `applied` (null = none) is in force: one that came while its
   * user was still starting isn't missed. Returns how to stop.
   */
  follow(applied: FarmConfig | null, callback: (config: FarmConfig) => void): () => void;
  /** The first configuration, now or later. Rejects when the signal aborts. */
  first(signal: AbortSignal): Promise<FarmConfig>;
}

/** Pure: does `offered` replace `current`? `leftFarms` holds uids that were replaced before. */
export function judgeConfig(
  current: FarmConfig | null,
  offered: FarmConfig,
  controlKey: string,
  leftFarms: ReadonlySet<string>,
): Verdict {
  if (offered.controlKey !== controlKey) return 'foreign';
  if (!current) return 'applied';
  if (offered.farmUid !== current.farmUid) return leftFarms.has(offered.farmUid) ? 'older' : 'applied';
  const newer = offered.epoch - current.epoch || offered.generation - current.generation;
  if (newer === 0) return 'same';
  return newer > 0 ? 'applied' : 'older';
}

export function createFarmConfigStore(controlKey: string): FarmConfigStore {
  let current: FarmConfig | null = null;
  const leftFarms = new Set<string>();
  const callbacks = new Set<(config: FarmConfig) => void>();
  const store: FarmConfigStore = {
    current: () => current,
    offer: (config) => {
      const verdict = judgeConfig(current, config, controlKey, leftFarms);
      if (verdict !== 'applied') return verdict;
      if (current && current.farmUid !== config.farmUid) {
        if (leftFarms.size >= MAX_LEFT_FARMS) leftFarms.delete([...leftFarms][0] ?? '');
        leftFarms.add(current.farmUid);
      }
      current = config;
      for (const callback of callbacks) callback(config);
      return verdict;
    },
    follow: (applied, callback) => {
      callbacks.add(callback);
      if (current && current !== applied) callback(current);
      return () => callbacks.delete(callback);
    },
    first: (signal) =>
      new Promise((resolve, reject) => {
        if (current) return resolve(current);
        const stop = store.follow(null, (config) => {
          stop();
          resolve(config);
        });
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
  };
  return store;
}

/** Reads the file now and whenever it changes, until the signal aborts. A file that can't be used is said once and left aside. */
export async function watchConfigFile(file: string, store: FarmConfigStore, log: Log, signal: AbortSignal): Promise<void> {
  let seen = '';
  while (!signal.aborted) {
    try {
      const { mtimeMs, ino, size } = await stat(file);
      const version = `${ino}:${mtimeMs}:${size}`;
      if (version !== seen) {
        seen = version;
        if (size > MAX_CONFIG_BYTES) throw new Error(`it has ${size} bytes, more than ${MAX_CONFIG_BYTES}`);
        const config = farmConfigSchema.parse(JSON.parse(await readFile(file, 'utf8')));
        const verdict = store.offer(config);
        log.info({ file, generation: config.generation, verdict }, 'configuration file read');
      }
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      const why = error instanceof z.ZodError ? z.prettifyError(error) : error instanceof Error ? error.message : String(error);
      if (seen !== why)
        log.warn(
          { file, why },
          missing ? 'there is no configuration file yet' : "the configuration file can't be used; the last one stays in force",
        );
      if (missing) seen = why;
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => {});
  }
}
