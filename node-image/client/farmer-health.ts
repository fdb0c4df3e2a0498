// Who answers and how fast, as this process sees it: used for choosing a write's scheme, for hedging reads
// and for telling the operator whether writes would be acknowledged now.
import type { PublicKey } from '#node/wire/types.ts';

export interface FarmerHealth {
  /** It did what it was asked, in that time. */
  good(farmer: PublicKey, tookMs: number): void;
  /** No answer, or a broken one: it isn't asked first for a while. */
  bad(farmer: PublicKey): void;
  /** It sent wrong bytes or a wrong receipt. */
  lied(farmer: PublicKey): void;
  /** Not failing right now; farmers never asked count as answering. */
  answers(farmer: PublicKey): boolean;
  /** Best first: those that answer, by their usual time. */
  ranked(farmers: readonly PublicKey[]): PublicKey[];
  /** After so long without an answer, another farmer is asked as well. */
  hedgeAfterMs(farmer: PublicKey): number;
  snapshot(): { farmer: PublicKey; answers: boolean; failures: number; lies: number; typicalMs: number | null }[];
  forget(farmer: PublicKey): void;
}
export declare function farmerHealth(nowMs: () => number): FarmerHealth;
