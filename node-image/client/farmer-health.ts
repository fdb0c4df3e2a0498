// Who answers and how fast, as this process sees it: used for choosing a write's scheme, for hedging reads
// and for telling the operator whether writes would be acknowledged now.
import { sortedBy } from '#node/core/sorted-by.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { farmerSpeeds } from './farmer-speeds.ts';

export interface FarmerHealth {
  /** It did what it was asked, in that time for each leaf; for writes without the time that it waited for us. */
  good(farmer: PublicKey, of: 'read' | 'write', msPerLeaf: number): void;
  /** A read was given up after that time for each leaf, while others had delivered. */
  slow(farmer: PublicKey, msPerLeaf: number): void;
  /** No answer, or a broken one: it isn't asked first for a while. */
  bad(farmer: PublicKey): void;
  /** It answers, but takes no pieces: full, leaving, busy. */
  refused(farmer: PublicKey): void;
  /** It sent wrong bytes or a wrong receipt. */
  lied(farmer: PublicKey): void;
  /** Not failing right now; farmers never asked count as answering. */
  answers(farmer: PublicKey): boolean;
  /** Answers, and hasn't refused a piece lately. */
  takes(farmer: PublicKey): boolean;
  /** Best first: those that answer before those that don't, each by their usual time. */
  ranked(farmers: readonly PublicKey[]): PublicKey[];
  /** Again and again much slower than most: it gets no pieces and is read last where others do. */
  isSlow(farmer: PublicKey): boolean;
  /** Usual time for reading a leaf; null where it isn't known (any more). */
  typicalMs(farmer: PublicKey): number | null;
  /** What nearly all leaves stay below at a usual farmer; null where too little was read lately. */
  tailMs(): number | null;
  snapshot(): FarmerRecord[];
  forget(farmer: PublicKey): void;
}
interface FarmerRecord {
  farmer: PublicKey;
  answers: boolean;
  /** In a row. */
  failures: number;
  /** Since this process started. */
  lies: number;
  isSlow: boolean;
  typicalMs: number | null;
}

/** First time out after a failure; doubles with each further one. */
const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 30_000;
/** Who refused a piece gets no other for so long. */
const REFUSAL_MS = 15_000;
/** A liar is asked last for so long; audits judge it for good. */
const LIAR_PAUSE_MS = 10 * 60_000;
interface Known {
  failures: number;
  lies: number;
  outUntilMs: number;
  refusesUntilMs: number;
}

export function farmerHealth(nowMs: () => number): FarmerHealth {
  const known = new Map<PublicKey, Known>();
  const of = (farmer: PublicKey): Known => {
    let one = known.get(farmer);
    if (!one) {
      one = { failures: 0, lies: 0, outUntilMs: 0, refusesUntilMs: 0 };
      known.set(farmer, one);
    }
    return one;
  };
  const answers = (farmer: PublicKey) => (known.get(farmer)?.outUntilMs ?? 0) <= nowMs();
  const speeds = { read: farmerSpeeds(nowMs), write: farmerSpeeds(nowMs) };
  const isSlow = (farmer: PublicKey) => speeds.read.isSlow(farmer) || speeds.write.isSlow(farmer);
  const { typicalMs } = speeds.read;
  return {
    answers,
    isSlow,
    typicalMs,
    tailMs: () => speeds.read.tailMs(),
    takes: (farmer) => answers(farmer) && (known.get(farmer)?.refusesUntilMs ?? 0) <= nowMs(),
    good(farmer, kind, msPerLeaf) {
      const one = of(farmer);
      speeds[kind].add(farmer, msPerLeaf);
      one.failures = 0;
      if (one.lies === 0) one.outUntilMs = 0;
    },
    slow(farmer, msPerLeaf) {
      of(farmer);
      speeds.read.add(farmer, Math.max(typicalMs(farmer) ?? 0, msPerLeaf));
    },
    bad(farmer) {
      const one = of(farmer);
      one.failures += 1;
      const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(one.failures - 1, 10));
      one.outUntilMs = Math.max(one.outUntilMs, nowMs() + pauseMs);
    },
    refused(farmer) {
      of(farmer).refusesUntilMs = nowMs() + REFUSAL_MS;
    },
    lied(farmer) {
      const one = of(farmer);
      one.lies += 1;
      one.outUntilMs = nowMs() + LIAR_PAUSE_MS;
    },
    ranked(farmers) {
      const rank = (farmer: PublicKey) => (answers(farmer) ? 0 : 1e9 + of(farmer).failures * 1e6) + (typicalMs(farmer) ?? 0);
      return sortedBy(farmers, rank);
    },
    snapshot: () =>
      [...known].map(([farmer, { failures, lies }]) => ({
        farmer,
        answers: answers(farmer),
        failures,
        lies,
        isSlow: isSlow(farmer),
        typicalMs: typicalMs(farmer),
      })),
    forget(farmer) {
      known.delete(farmer);
      speeds.read.forget(farmer);
      speeds.write.forget(farmer);
    },
  };
}
