// The farm as clients see it: its farmers, their addresses, the scheme for new writes.
import { promiseOf } from '#node/core/schemes.ts';
import type { LogLink } from '#node/log/log-link.ts';
import type { Runtime } from '#node/log/runtime.ts';
import type { FarmerAddress, Network } from '#node/net/net.ts';
import type { FarmMembers } from '#node/wire/calls.ts';
import type { PublicKey, Scheme } from '#node/wire/types.ts';

export interface FarmMember {
  farmer: PublicKey;
  url: string;
  /** Failure domain. */
  domain: string;
  zone: string;
  /** Leaving = gets nothing new: it drains, or has failed its audits. */
  state: 'Active' | 'Leaving' | 'Lost';
  /** Signed<Membership> bytes. */
  membership: Uint8Array;
}
export interface FarmSnapshot {
  epoch: number;
  generation: number;
  /** For new writes. */
  scheme: Scheme;
  /** Segments under another scheme are to be brought to this one. */
  rewrite: boolean;
  members: FarmMember[];
  repairers: { repairer: PublicKey; box: string }[];
  controlKey: PublicKey;
}
export interface FarmView {
  current(): FarmSnapshot;
  /** Calls back after each change, until the returned function is called. */
  changed(callback: (snapshot: FarmSnapshot) => void): () => void;
}

/** What one farmer says: enough for a laptop that knows its address. */
export function snapshotOfMembers(answer: FarmMembers): FarmSnapshot {
  const { epoch, generation, controlKey, redundancy, repairers } = answer;
  const members = answer.members.map(({ farmer, url, domain, zone, state, membership }) => ({
    farmer,
    url,
    domain,
    zone,
    state,
    membership,
  }));
  return { epoch, generation, scheme: redundancy, rewrite: false, controlKey, repairers, members };
}

/** A view that whoever gets the configuration sets. An older (epoch, generation) changes nothing. */
export interface SettableFarmView extends FarmView {
  set(next: FarmSnapshot): void;
}
export function settableFarmView(first: FarmSnapshot): SettableFarmView {
  let current = first;
  const callbacks = new Set<(snapshot: FarmSnapshot) => void>();
  return {
    current: () => current,
    changed(callback) {
      callbacks.add(callback);
      return () => callbacks.delete(callback);
    },
    set(next) {
      const isOlder = next.epoch < current.epoch || (next.epoch === current.epoch && next.generation < current.generation);
      if (isOlder) return;
      current = next;
      for (const callback of callbacks) callback(next);
    },
  };
}

/** Null for a farmer that isn't in the roster. */
export function addressOf(snapshot: FarmSnapshot, farmer: PublicKey): FarmerAddress | null {
  const member = snapshot.members.find((one) => one.farmer === farmer);
  return member ? { farmer, url: member.url } : null;
}

const ANSWER_TIMEOUT_MS = 15_000;

/** The farm as the log layer needs it. */
export function logLink(input: { network: Network; farm: FarmView; runtime: Runtime; answerTimeoutMs?: number }): LogLink {
  const { network, farm, runtime } = input;
  return {
    network,
    runtime,
    addressOf: (farmer) => addressOf(farm.current(), farmer),
    farmers: () => farm.current().members,
    promise: () => promiseOf(farm.current().scheme),
    answerTimeoutMs: input.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
  };
}
