// A token bucket: so many at once, so many a second after that.
import type { Clock } from './clock.ts';

export interface Rate {
  burst: number;
  perSecond: number;
}

export interface RateBucket {
  /** Takes a token, going into debt if it must: how long to wait before using it. */
  reserveMs(): number;
  /** Takes a token if there is one. */
  take(): boolean;
  /** Nothing was taken for so long that the bucket is full again. */
  full(): boolean;
}

export function createRateBucket(rate: Rate, clock: Clock): RateBucket {
  let tokens = rate.burst;
  let atMs = clock.monotonicMs();
  const refill = (): void => {
    const nowMs = clock.monotonicMs();
    tokens = Math.min(rate.burst, tokens + ((nowMs - atMs) / 1000) * rate.perSecond);
    atMs = nowMs;
  };
  return {
    reserveMs() {
      refill();
      tokens -= 1;
      return tokens >= 0 ? 0 : (-tokens / rate.perSecond) * 1000;
    },
    take() {
      refill();
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
    full() {
      refill();
      return tokens >= rate.burst;
    },
  };
}
