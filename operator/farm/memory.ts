// What this process remembers of a farm between two passes. All of it can be lost: it only saves questions.
import type { ConfigMap, Live } from '#operator/kube/resources.ts';
import type { BridgeStatus, FarmerStatus, FarmReport } from '#node/interface/status.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { Contact } from '#operator/nodes.ts';
import { createBridgeSyncMemory, type BridgeSyncMemory } from '#operator/bucket/sync-memory.ts';

export interface FarmMemory {
  /** Key pairs by public key: one object each, so that what is derived from them is derived once. */
  keys: Map<string, KeyPair>;
  /** Identity of Ready farmers, by pod uid. */
  contacts: Map<string, Contact>;
  /** What each node has acknowledged, by pod uid. */
  acked: Map<string, string>;
  /** Our own last write, which a cache may not show yet. */
  config: Live<ConfigMap> | undefined;
  report: { report: FarmReport; askedMs: number; changedMs: number } | undefined;
  bridge: { status: BridgeStatus; askedMs: number } | undefined;
  leaving: Map<string, FarmerStatus>;
  leavingSince: Map<string, number>;
  /** Farmer → `atMs` of the newest report when it was first seen quiet. */
  quietSince: Map<string, number>;
  drainFloors: Map<string, number>;
  /** Volume uid → size that was refused, and when. */
  refusedSizes: Map<string, { size: string; atMs: number; message: string }>;
  /** Reclaim policy of the volume behind each claim, by uid of the claim, and when it was asked. */
  policies: Map<string, { policy: string; atMs: number }>;
  /** When the operator was last told that it may not see volumes. */
  policiesRefusedMs: number | undefined;
  /** When numbers that move by themselves were last written. */
  numbersMs: number;
  /** Others are told of a foreign install once. */
  isForeignTold: boolean;
  sync: BridgeSyncMemory;
}

export interface FarmMemories {
  /** By farm uid, so that a farm of the same name starts anew. */
  of(uid: string): FarmMemory;
  forget(uid: string): void;
}

export function createFarmMemories(): FarmMemories {
  const all = new Map<string, FarmMemory>();
  return {
    of(uid) {
      let memory = all.get(uid);
      if (!memory) {
        memory = {
          keys: new Map(),
          contacts: new Map(),
          acked: new Map(),
          config: undefined,
          report: undefined,
          bridge: undefined,
          leaving: new Map(),
          leavingSince: new Map(),
          quietSince: new Map(),
          drainFloors: new Map(),
          refusedSizes: new Map(),
          policies: new Map(),
          policiesRefusedMs: undefined,
          numbersMs: Number.NEGATIVE_INFINITY,
          isForeignTold: false,
          sync: createBridgeSyncMemory(),
        };
        all.set(uid, memory);
      }
      return memory;
    },
    forget: (uid) => void all.delete(uid),
  };
}
