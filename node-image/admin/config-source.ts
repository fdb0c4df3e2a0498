// The farm's configuration as this node has it: from the mounted file and from PUT /admin/config, whichever
// is newer. Nodes that hear from two operators follow the one with the higher epoch.
import { readFile, stat } from 'node:fs/promises';
import type { z } from 'zod';
import { farmConfigSchema, type FarmConfig } from '#node/interface/config.ts';

/** What is compared: a deposed operator has a lower epoch, an older order a lower generation. */
export interface Version {
  farmUid: string;
  epoch: number;
  generation: number;
}
export type Verdict = 'newer' | 'same' | 'older';

/** A new farm under the same control key counts its generations anew. */
export function compareVersions(current: Version | null, offered: Version): Verdict {
  if (!current) return 'newer';
  if (offered.epoch !== current.epoch) return offered.epoch > current.epoch ? 'newer' : 'older';
  if (offered.farmUid !== current.farmUid) return 'newer';
  if (offered.generation === current.generation) return 'same';
  return offered.generation > current.generation ? 'newer' : 'older';
}

export interface ConfigSource {
  current(): FarmConfig | null;
  /** Applies what is newer. Throws ConfigError for another farm's control key. */
  offer(config: FarmConfig): Verdict;
  /** Called after each change, and at once where there is a configuration already. Returns the way to stop it. */
  onChange(listener: (config: FarmConfig) => void): () => void;
}

export class ConfigError extends Error {
  readonly code = 'BadConfig';
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ConfigError';
  }
}

/** `controlKey`: the only farm that this node obeys. */
export function configSource(controlKey: string): ConfigSource {
  let current: FarmConfig | null = null;
  const listeners = new Set<(config: FarmConfig) => void>();
  return {
    current: () => current,
    offer(config) {
      if (config.controlKey !== controlKey) {
        throw new ConfigError(`This node belongs to the farm with control key ${controlKey}, not ${config.controlKey}.`);
      }
      const verdict = compareVersions(current, config);
      if (verdict !== 'newer') return verdict;
      current = config;
      for (const listener of [...listeners]) listener(config);
      return verdict;
    },
    onChange(listener) {
      listeners.add(listener);
      if (current) listener(current);
      return () => listeners.delete(listener);
    },
  };
}

/** Reads and checks a JSON file. Rejects with ConfigError, or with the file system's own error where it is missing. */
export async function readJsonFile<S extends z.ZodType>(path: string, schema: S): Promise<z.infer<S>> {
  const text = await readFile(path, 'utf8');
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new ConfigError(`${path} is not a valid configuration: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

export interface FileWatch {
  /** Looks now, whatever the timer says. */
  look(): Promise<void>;
  stop(): void;
}

/**
 * Looks at the file every `everyMs` and offers it when it has changed. Looking, not listening: a mounted
 * ConfigMap changes by a symbolic link two folders up, which no listener hears on all systems.
 */
export function watchConfigFile(
  path: string,
  source: ConfigSource,
  { everyMs, onError }: { everyMs: number; onError: (error: unknown) => void },
): FileWatch {
  let seen = '';
  let looking: Promise<void> | null = null;
  const lookOnce = async () => {
    try {
      const { mtimeMs, ino, size } = await stat(path);
      const mark = `${mtimeMs} ${ino} ${size}`;
      if (mark === seen) return;
      source.offer(await readJsonFile(path, farmConfigSchema));
      seen = mark;
    } catch (error) {
      // It may not be there yet, and a bad one must not stop a node that has a good one.
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!isMissing) onError(error);
    }
  };
  const look = () => {
    looking ??= lookOnce().finally(() => {
      looking = null;
    });
    return looking;
  };
  const timer = setInterval(() => void look(), everyMs);
  timer.unref();
  return { look, stop: () => clearInterval(timer) };
}
