import { describe, expect, it } from 'vitest';
import { toHex } from '#node/core/ids.ts';
import { repairKey, repairPartKey } from '#node/core/keys.ts';
import {
  batchHash,
  decodeBatchHeader,
  encodeBatch,
  encodePlacementsBatch,
  follows,
  NO_HASH,
  openOwnerPart,
  openRepairPart,
  readPlacements,
  verifyBatch,
} from '#node/wire/batch.ts';
import { WireError } from '#node/wire/codec.ts';
import { MAX_BATCH_BYTES } from '#node/wire/types.ts';
import {
  batch,
  entries,
  fill,
  heads,
  log,
  owner,
  partKeys,
  placementsBatch,
  repairPart,
  sealedPlacement,
  stranger,
} from './samples.ts';

const next = (change: { salt?: Uint8Array; logKey?: typeof log } = {}) =>
  encodeBatch({
    logKey: change.logKey ?? log,
    position: { seq: 2, prevHash: batch.hash, timeMs: 5, salt: change.salt ?? fill(0x74) },
    entries: [],
    repair: { added: [], released: [] },
    ...partKeys,
  });

describe('a batch', () => {
  it('says what it is, and opens part by part with its own key', () => {
    expect(decodeBatchHeader(batch.bytes)).toEqual(batch.header);
    expect(verifyBatch(batch.bytes)).toEqual({ header: batch.header, hash: batch.hash });
    expect(batchHash(batch.bytes)).toBe(batch.hash);
    expect(openOwnerPart(batch.bytes, partKeys.ownerPartKey)).toEqual({ entries, heads });
    expect(openRepairPart(batch.bytes, partKeys.repairPartKey)).toEqual(repairPart);
  });

  it('opens with no other key', () => {
    expect(() => openOwnerPart(batch.bytes, partKeys.repairPartKey)).toThrow(WireError);
    expect(() => openRepairPart(batch.bytes, partKeys.ownerPartKey)).toThrow(WireError);
    const otherEpoch = repairPartKey(repairKey(owner.accountSecret, 2), log.publicKey);
    expect(() => openRepairPart(batch.bytes, otherEpoch)).toThrow('does not open');
  });

  it('shows nothing of what is sealed', () => {
    const text = Buffer.from(batch.bytes).toString('latin1');
    for (const secret of ['photos', 'content-type', 'small', Buffer.from(fill(0x51)).toString('latin1')]) {
      expect(text).not.toContain(secret);
    }
  });

  it('is broken by any change', () => {
    for (let i = 0; i < batch.bytes.length; i++) {
      const changed = Uint8Array.from(batch.bytes);
      changed[i]! ^= 1;
      expect(() => verifyBatch(changed), `byte ${i}`).toThrow(WireError);
    }
    for (const length of [0, 1, 5, 100, batch.bytes.length - 1]) {
      expect(() => verifyBatch(batch.bytes.subarray(0, length))).toThrow(WireError);
    }
    for (const length of [0, 63, 65]) {
      const otherTail = Buffer.concat([batch.bytes.subarray(0, -64), Buffer.alloc(length)]);
      expect(() => decodeBatchHeader(otherTail)).toThrow('64 bytes');
    }
  });

  it('follows the one that it names, and no other', () => {
    const second = next();
    const at = { logId: log.publicKey, seq: 1, hash: batch.hash };
    expect(follows(second, at)).toBe(true);
    expect(follows(batch, { logId: log.publicKey, seq: 0, hash: NO_HASH })).toBe(true);
    expect(follows(second, { ...at, seq: 2 })).toBe(false);
    expect(follows(second, { ...at, hash: NO_HASH })).toBe(false);
    expect(follows(next({ logKey: stranger }), at)).toBe(false);
  });

  it('is signed by its log, and is the same bytes each time it is written', () => {
    expect(toHex(next().bytes)).toBe(toHex(next().bytes));
    expect(next().hash).not.toBe(next({ salt: fill(0x75) }).hash);
    // Another log's signature over the same content: cut off here, put on there.
    const mine = next();
    const theirs = next({ logKey: stranger });
    const mixed = Buffer.concat([mine.bytes.subarray(0, -64), theirs.bytes.subarray(-64)]);
    expect(() => verifyBatch(mixed)).toThrow('signature');
  });

  it('that would be too large is refused where it is made and where it is read', () => {
    const inline = new Uint8Array(60_000);
    const one = entries.find((entry) => entry.kind === 'put' && entry.inline)!;
    const many = Array.from({ length: 150 }, () => ({ ...one, inline }));
    const input = { logKey: log, position: { seq: 1, prevHash: NO_HASH, timeMs: 5, salt: fill(1) }, ...partKeys };
    expect(() => encodeBatch({ ...input, entries: many, repair: { added: [], released: [] } })).toThrow('split it');
    expect(() => verifyBatch(new Uint8Array(MAX_BATCH_BYTES + 1))).toThrow(WireError);
  });
});

describe('a batch of placements', () => {
  it('carries entries that are sealed one by one', () => {
    expect(verifyBatch(placementsBatch.bytes).header.kind).toBe('placements');
    expect(readPlacements(placementsBatch.bytes)).toEqual([sealedPlacement]);
  });

  it('and a batch of entries are not mixed up', () => {
    expect(() => readPlacements(batch.bytes)).toThrow('Not a batch of placements');
    expect(() => openOwnerPart(placementsBatch.bytes, partKeys.ownerPartKey)).toThrow(WireError);
    const empty = encodePlacementsBatch({
      logKey: log,
      position: { seq: 1, prevHash: NO_HASH, timeMs: 0, salt: fill(0) },
      placements: [],
    });
    expect(readPlacements(empty.bytes)).toEqual([]);
  });
});
