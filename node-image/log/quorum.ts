// One question to several farmers at once: as many answers as are needed, no waiting for the rest.
import { GrantRefusedError, type FarmerAddress } from '#node/net/net.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { LogLink } from './log-link.ts';

/**
 * For readers: a quorum may be those who know least and those who lie. One honest farmer more says what they don't,
 * if it is waited for.
 */
export const GRACE_MS = 50;

export interface Gathered<T> {
  answers: Map<PublicKey, T>;
  errors: Map<PublicKey, unknown>;
}

/**
 * Resolves when `needed` farmers have answered, or all have answered or failed; the caller counts. Those that
 * are still asked then are let go, or (`finish`) go on until their own time is over.
 */
export async function gather<T>(
  link: LogLink,
  input: {
    farmers: readonly PublicKey[];
    needed: number;
    ask: (to: FarmerAddress, signal: AbortSignal) => Promise<T>;
    signal: AbortSignal;
    finish?: boolean;
    /** When enough have answered the others get so much more time. */
    graceMs?: number;
    /** By these errors no answer of the others matters any more: they aren't waited for. */
    isDecided?: (errors: ReadonlyMap<PublicKey, unknown>) => boolean;
  },
): Promise<Gathered<T>> {
  const { farmers, needed, ask, signal, finish, graceMs = 0, isDecided } = input;
  const over = new AbortController();
  const answers = new Map<PublicKey, T>();
  const errors = new Map<PublicKey, unknown>();
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true, signal: over.signal });
    let isEnough = false;
    const check = () => {
      if (answers.size + errors.size === farmers.length || isDecided?.(errors) === true) return resolve();
      if (answers.size < needed || isEnough) return;
      isEnough = true;
      if (graceMs === 0) resolve();
      else link.runtime.sleep(graceMs, over.signal).then(resolve, () => {});
    };
    check();
    for (const farmer of farmers) {
      const limit = link.runtime.deadline(link.answerTimeoutMs, signal, ...(finish ? [] : [over.signal]));
      askOne(link, farmer, ask, limit)
        .then(
          (answer) => void answers.set(farmer, answer),
          (error: unknown) => void errors.set(farmer, error),
        )
        .finally(check);
    }
  }).finally(() => over.abort());
  return { answers: new Map(answers), errors: new Map(errors) };
}

async function askOne<T>(
  link: LogLink,
  farmer: PublicKey,
  ask: (to: FarmerAddress, signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const to = link.addressOf(farmer);
  if (!to) throw new Error(`The farm doesn't know farmer ${farmer} (any more).`);
  return await ask(to, signal);
}

/** What the farmers that didn't answer said, for people. */
export function reasons(errors: ReadonlyMap<PublicKey, unknown>): string {
  return [...errors]
    .map(([farmer, error]) => `${farmer.slice(0, 8)}: ${error instanceof Error ? error.message : String(error)}`)
    .join('; ');
}

/** Of those that refuse the caller's grants: what they say. Who has none may just not be known there yet. */
export function refusals(errors: ReadonlyMap<PublicKey, unknown>): GrantRefusedError[] {
  return [...errors.values()].filter((error) => error instanceof GrantRefusedError);
}
