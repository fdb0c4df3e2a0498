// What this farmer does now: takes new things or not, how much is under way, and whether its disk is fit.
import type { FarmConfig } from '#node/interface/config.ts';
import { CallError } from '#node/net/net.ts';
import type { PublicKey } from '#node/wire/types.ts';

export interface Duty {
  /** When it stopped taking new pieces and replicas; null while it takes them. */
  readonly cordonedMs: number | null;
  readonly transfersInFlight: number;
  /** When the last transfer ended; 0 = none since the start. */
  readonly lastTransferMs: number;
  /** '' = fit. */
  readonly unfitReason: string;
  /** Follows the roster: Leaving cordons, Active takes it back. */
  follow(config: FarmConfig): void;
  /** The process is about to end: nothing takes this back. */
  cordonForGood(): void;
  /** The disk probe's word; '' = fit. */
  setUnfit(reason: string): void;
  /** Throws CallError 'Unavailable'. */
  checkFit(): void;
  /** Throws CallError 'Leaving'. */
  checkTakesNew(): void;
  /** A transfer is under way until the returned function is called. */
  begin(): () => void;
  /** Resolves when no transfer is under way. */
  idle(signal: AbortSignal): Promise<void>;
}

export function duty(self: PublicKey, nowMs: () => number): Duty {
  let cordonedMs: number | null = null;
  let isForGood = false;
  let inFlight = 0;
  let lastTransferMs = 0;
  let unfit = '';
  const waiting = new Set<() => void>();
  return {
    get cordonedMs() {
      return cordonedMs;
    },
    get transfersInFlight() {
      return inFlight;
    },
    get lastTransferMs() {
      return lastTransferMs;
    },
    get unfitReason() {
      return unfit;
    },
    follow({ roster }) {
      const state = roster.find(({ farmer }) => farmer === self)?.state;
      if (state === 'Leaving' || state === 'Lost') cordonedMs ??= nowMs();
      else if (state === 'Active' && !isForGood) cordonedMs = null;
    },
    cordonForGood() {
      isForGood = true;
      cordonedMs ??= nowMs();
    },
    setUnfit(reason) {
      unfit = reason;
    },
    checkFit() {
      if (unfit !== '') throw new CallError('Unavailable', `The farmer's disk is out of service: ${unfit}`);
    },
    checkTakesNew() {
      if (cordonedMs !== null) throw new CallError('Leaving', 'The farmer is leaving and takes nothing new.');
    },
    begin() {
      let isEnded = false;
      inFlight += 1;
      return () => {
        if (isEnded) return;
        isEnded = true;
        inFlight -= 1;
        lastTransferMs = nowMs();
        if (inFlight === 0) waiting.forEach((resolve) => resolve());
      };
    },
    idle(signal) {
      if (inFlight === 0 || signal.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const done = () => {
          waiting.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        waiting.add(done);
        signal.addEventListener('abort', done, { once: true });
      });
    },
  };
}
