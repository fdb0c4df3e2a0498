// What this process remembers of what a bridge was told.

/** What a bucket gives to the bridge; secrets included, so it lives in memory only. */
export interface BucketGift {
  ownerId: string;
  accessKeyId: string;
  secretAccessKey: string;
}

export interface BridgeSyncMemory {
  /** Of the last acknowledged PUT. */
  hash: string;
  generation: number;
  podUid: string;
  /** By uid of the StorjBucket. */
  gifts: Map<string, BucketGift>;
  /** When a bucket's usage was last written, by uid. */
  usageMs: Map<string, number>;
  /** One PUT after the other. */
  tail: Promise<void>;
}

export function createBridgeSyncMemory(): BridgeSyncMemory {
  return { hash: '', generation: 0, podUid: '', gifts: new Map(), usageMs: new Map(), tail: Promise.resolve() };
}
