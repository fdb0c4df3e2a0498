// What logs and statements need of the farm: who is there, how to reach them, what is promised.
import type { FarmerAddress, GrantRefusedError, Network } from '#node/net/net.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { Runtime } from './runtime.ts';

export interface LogFarmer {
  farmer: PublicKey;
  /** Failure domain. */
  domain: string;
  state: 'Active' | 'Leaving' | 'Lost';
}

export interface LogLink {
  network: Network;
  runtime: Runtime;
  /** Null for a farmer that the farm doesn't know (any more). */
  addressOf(farmer: PublicKey): FarmerAddress | null;
  /** The roster now. */
  farmers(): readonly LogFarmer[];
  /** f of the farm's scheme. */
  promise(): number;
  /** Longest wait for one answer. */
  answerTimeoutMs: number;
}

export type LogErrorCode =
  | 'NotEnoughReplicas' // fewer members answered than it takes; try again
  | 'NotSent' // gave up waiting before it was sent: for sure not written; try again
  | 'NotEnoughRoots' // fewer of the nearest farmers answered than it takes; try again
  | 'NoReplicaSet' // the bucket has none: it was never written
  | 'LogEnded' // sealed, closed or overtaken: open a new one
  | 'NotAllowed' // by the statements and the grant: N − f replicas refuse, or this writer's log would not count
  | 'TooLarge' // entries don't fit into one batch
  | 'RolledBack' // replicas have less than was acknowledged: only the owner can accept that
  | 'Forked' // the log has another batch than the one that was read: read all anew
  | 'Damaged'; // no replica gives what its head promises

export class LogError extends Error {
  readonly code: LogErrorCode;
  constructor(code: LogErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'LogError';
    this.code = code;
  }
}

/** What so many replicas refuse that the others don't matter. */
export function notAllowed(refused: readonly GrantRefusedError[]): LogError {
  const [first] = refused;
  return new LogError('NotAllowed', `${refused.length} replicas refuse: ${first?.message ?? ''}`, { cause: first });
}
