// The memory that a thread and the calling one share for one code: the codec's own part in front, slots for
// encoded stripes behind. A stripe stays in its slot until it has been sent, so nothing is copied or allocated.
import { newWasmMemory } from '#node/core/erasure.ts';
import type { WasmMemory } from '#node/core/wasm.ts';
import { LEAF_BYTES } from '#node/wire/types.ts';

/** Tables of the codec, beside the stripe that it decodes. */
const CODEC_BYTES = 8 * 1024 * 1024;
/** Stripes on their way: many for narrow codes, enough for two transfers of wide ones. Untouched slots cost nothing. */
const SLOTS_BYTES = 32 * 1024 * 1024;
const MIN_SLOTS = 12;
/** Shards start aligned, and the byte before the first is nobody's (see leafHashInPlace). */
const MARGIN_BYTES = 64;

function slotBytes(total: number): number {
  return total * LEAF_BYTES + MARGIN_BYTES;
}
export function slotCount(total: number): number {
  return Math.max(MIN_SLOTS, Math.floor(SLOTS_BYTES / slotBytes(total)));
}
/** What decoding takes in front of the slots. */
export function newStripeMemory(total: number): WasmMemory {
  return newWasmMemory(CODEC_BYTES + slotBytes(total) * (1 + slotCount(total)));
}
/** The shards of the stripe in that slot, one after the other. */
export function slotShards(memory: WasmMemory, slot: number, total: number, shardBytes: number): Uint8Array[] {
  const start = memory.buffer.byteLength - slotBytes(total) * (slot + 1) + MARGIN_BYTES;
  return Array.from({ length: total }, (_, i) => new Uint8Array(memory.buffer, start + i * shardBytes, shardBytes));
}
