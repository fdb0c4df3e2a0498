// Reed–Solomon over pieces: any `required` of `total` give all others. The codec works in place on a
// WebAssembly memory that it lends out (several codecs may share one), so that encryption writes where
// encoding reads and hashing reads where encoding wrote. Shards that lie elsewhere are copied in and out.
import { kernelBytes, kernelName, KERNEL_SHAPES, type DotKernel } from './erasure-kernel.ts';
import { wasm, type WasmMemory } from './wasm.ts';
import { codeRow, multiply, recoveryRows } from './galois.ts';

/** All outputs go over a strip of each source before the next strip: the strip stays in the cache. */
const STRIP_BYTES = 8 * 1024;
const MAX_OUTPUTS = 4;
const VECTOR_BYTES = 16;
const PAGE_BYTES = 64 * 1024;
const CACHED_PLANS = 64;
/** Enough for a few stripes of wide codes; a pipeline asks for what its slots need. */
const DEFAULT_MEMORY_BYTES = 32 * 1024 * 1024;
const ALIGN_BYTES = 64;

export interface Codec {
  readonly required: number;
  readonly total: number;
  readonly memory: ErasureMemory;
  /** All data shards to all parity shards, equal lengths, multiples of 16. */
  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void;
  /** From at least `required` shards, those that are wanted (data or parity), into `out`. */
  reconstruct(have: readonly { index: number; shard: Uint8Array }[], want: readonly number[], out: readonly Uint8Array[]): void;
}

/** Memory that codecs work on. `take` lends some for good: there is no giving back. */
export interface ErasureMemory {
  readonly memory: WasmMemory;
  /** 64-byte aligned and zeroed. Throws RangeError when nothing is left. */
  take(sizeBytes: number): Uint8Array;
  readonly kernels: ReadonlyMap<string, DotKernel>;
}

/** Shared memory: pages that nobody touched cost nothing, so it has its full size at once and never moves. */
export function newWasmMemory(sizeBytes: number): WasmMemory {
  const pages = Math.ceil(sizeBytes / PAGE_BYTES);
  return new wasm.Memory({ initial: pages, maximum: pages, shared: true });
}

/** New memory, or one from another thread, of which the front is lent out here and by nobody else. */
export function createErasureMemory(options: { sizeBytes?: number; memory?: WasmMemory; relaxed?: boolean } = {}): ErasureMemory {
  const memory = options.memory ?? newWasmMemory(options.sizeBytes ?? DEFAULT_MEMORY_BYTES);
  let usedBytes = ALIGN_BYTES; // address 0 stays unused
  return {
    memory,
    kernels: instantiate(memory, options.relaxed ?? true),
    take(sizeBytes) {
      const start = usedBytes;
      const end = start + Math.ceil(sizeBytes / ALIGN_BYTES) * ALIGN_BYTES;
      if (end > memory.buffer.byteLength) {
        throw new RangeError(`The memory of ${memory.buffer.byteLength} bytes is lent out; create it with a larger sizeBytes.`);
      }
      usedBytes = end;
      return new Uint8Array(memory.buffer, start, sizeBytes);
    },
  };
}

/** The relaxed kernel where it is wanted and the engine has it, else the plain one. */
function instantiate(memory: WasmMemory, wantsRelaxed: boolean): ReadonlyMap<string, DotKernel> {
  const relaxed = kernelBytes(true);
  const bytes = wantsRelaxed && wasm.validate(relaxed) ? relaxed : kernelBytes(false);
  const { exports } = new wasm.Instance(new wasm.Module(bytes), { env: { memory } });
  return new Map(KERNEL_SHAPES.map(([m, u]) => [kernelName(m, u), exports[kernelName(m, u)] as DotKernel]));
}

/** A run of up to four outputs: which, and where their tables lie. */
interface Group {
  first: number;
  outputs: number;
  tables: number;
  wide: DotKernel;
  wideBytes: number;
  narrow: DotKernel;
}
/** Tables for one matrix, in the codec's memory. */
interface Plan {
  area: Uint8Array;
  groups: Group[];
}

/** Shards of `required` + the rest = `total` ≤ 255. A codec is for one thread; its memory may be shared. */
export function createCodec(required: number, total: number, memory: ErasureMemory = createErasureMemory()): Codec {
  const isPossible = Number.isInteger(required) && Number.isInteger(total) && required >= 1 && required <= total && total <= 255;
  if (!isPossible) throw new RangeError(`There is no code of ${required} out of ${total}.`);
  const machine = new Machine(required, total, memory);
  const parityRows = Array.from({ length: total - required }, (_, i) => codeRow(required, required + i));
  return {
    required,
    total,
    memory,
    encode(data, parity) {
      if (data.length !== required || parity.length !== total - required) {
        throw new RangeError(`A ${required}-of-${total} code encodes ${required} shards to ${total - required}.`);
      }
      if (parity.length > 0) machine.run('encode', () => parityRows, data, parity);
    },
    reconstruct(have, want, out) {
      if (want.length !== out.length) throw new RangeError('Each wanted shard needs a place.');
      if (want.length === 0) return;
      const used = distinctShards(have, total).slice(0, required);
      if (used.length < required) throw new RangeError(`${required} shards are needed, ${used.length} are there.`);
      if (!want.every((index) => isIndex(index, total))) throw new RangeError(`A wanted shard is none of ${total}.`);
      const indexes = used.map(({ index }) => index);
      const name = `${indexes.join()}>${want.join()}`;
      machine.run(
        name,
        () => recoveryRows(required, indexes, want),
        used.map(({ shard }) => shard),
        out,
      );
    },
  };
}

function distinctShards(have: readonly { index: number; shard: Uint8Array }[], total: number) {
  const seen = new Set<number>();
  return have.filter(({ index }) => {
    if (!isIndex(index, total)) throw new RangeError(`Shard ${index} is none of ${total}.`);
    return !seen.has(index) && seen.add(index);
  });
}

function isIndex(index: number, total: number): boolean {
  return Number.isInteger(index) && index >= 0 && index < total;
}

/** Runs matrices over shards; keeps the tables of the matrices used last. */
class Machine {
  readonly #memory: ErasureMemory;
  readonly #plans = new Map<string, Plan>();
  readonly #freeAreas: Uint8Array[] = [];
  readonly #maxAreaBytes: number;
  readonly #sources: Uint8Array;
  readonly #targets: Uint8Array;
  #scratch: Uint8Array | null = null;

  constructor(required: number, total: number, memory: ErasureMemory) {
    this.#memory = memory;
    this.#maxAreaBytes = 32 * required * total;
    this.#sources = memory.take(4 * required);
    this.#targets = memory.take(4 * total);
  }

  run(name: string, rows: () => Uint8Array[], sources: readonly Uint8Array[], targets: readonly Uint8Array[]): void {
    const length = sources[0]!.length;
    if (length % VECTOR_BYTES !== 0 || ![...sources, ...targets].every((shard) => shard.length === length)) {
      throw new RangeError('Shards have one length, a multiple of 16.');
    }
    const plan = this.#plan(name, rows);
    const buffer = this.#memory.memory.buffer;
    if ([...sources, ...targets].every((shard) => shard.buffer === buffer)) {
      this.#point(this.#sources, sources);
      this.#point(this.#targets, targets);
      for (let from = 0; from < length; from += STRIP_BYTES)
        this.#strip(plan, sources.length, from, Math.min(length, from + STRIP_BYTES));
    } else this.#runCopied(plan, sources, targets, length);
  }

  /** Strip by strip through a small area of the memory. */
  #runCopied(plan: Plan, sources: readonly Uint8Array[], targets: readonly Uint8Array[], length: number): void {
    const places = sources.length + targets.length;
    if (!this.#scratch || this.#scratch.length < places * STRIP_BYTES) this.#scratch = this.#memory.take(places * STRIP_BYTES);
    const scratch = this.#scratch;
    const strips = Array.from({ length: places }, (_, i) => scratch.subarray(i * STRIP_BYTES, (i + 1) * STRIP_BYTES));
    const [from, to] = [strips.slice(0, sources.length), strips.slice(sources.length)];
    this.#point(this.#sources, from);
    this.#point(this.#targets, to);
    for (let at = 0; at < length; at += STRIP_BYTES) {
      const bytes = Math.min(STRIP_BYTES, length - at);
      for (const [i, strip] of from.entries()) strip.set(sources[i]!.subarray(at, at + bytes));
      this.#strip(plan, sources.length, 0, bytes);
      for (const [i, strip] of to.entries()) targets[i]!.set(strip.subarray(0, bytes), at);
    }
  }

  #strip(plan: Plan, k: number, from: number, to: number): void {
    for (const group of plan.groups) {
      const targets = this.#targets.byteOffset + 4 * group.first;
      const wideEnd = to - ((to - from) % group.wideBytes);
      if (wideEnd > from) group.wide(this.#sources.byteOffset, k, targets, group.tables, from, wideEnd);
      if (to > wideEnd) group.narrow(this.#sources.byteOffset, k, targets, group.tables, wideEnd, to);
    }
  }

  #point(list: Uint8Array, shards: readonly Uint8Array[]): void {
    const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
    for (const [i, shard] of shards.entries()) view.setUint32(4 * i, shard.byteOffset, true);
  }

  #plan(name: string, rows: () => Uint8Array[]): Plan {
    let plan = this.#plans.get(name);
    if (plan) this.#plans.delete(name);
    else plan = this.#newPlan(rows());
    this.#plans.set(name, plan);
    return plan;
  }

  #newPlan(rows: readonly Uint8Array[]): Plan {
    const area = this.#area();
    const groups: Group[] = [];
    let offset = 0;
    let first = 0;
    for (const outputs of balanced(rows.length)) {
      const group = rows.slice(first, first + outputs);
      groups.push({ first, outputs, tables: area.byteOffset + offset, ...this.#kernels(outputs) });
      offset += writeTables(area.subarray(offset), group);
      first += outputs;
    }
    return { area, groups };
  }

  /** Room for a plan's tables; the plan not used for longest makes way. */
  #area(): Uint8Array {
    const oldest = this.#plans.size >= CACHED_PLANS ? this.#plans.entries().next().value : undefined;
    if (oldest) {
      this.#plans.delete(oldest[0]);
      this.#freeAreas.push(oldest[1].area);
    }
    return this.#freeAreas.pop() ?? this.#memory.take(this.#maxAreaBytes);
  }

  #kernels(outputs: number): Pick<Group, 'wide' | 'wideBytes' | 'narrow'> {
    const vectors = KERNEL_SHAPES.find(([m, u]) => m === outputs && u > 1)![1];
    const kernel = (u: number) => this.#memory.kernels.get(kernelName(outputs, u))!;
    return { wide: kernel(vectors), wideBytes: VECTOR_BYTES * vectors, narrow: kernel(1) };
  }
}

/** 9 → 3 + 3 + 3: groups of equal size are twice as fast as 4 + 4 + 1. */
function balanced(outputs: number): number[] {
  const groups = Math.ceil(outputs / MAX_OUTPUTS);
  return Array.from({ length: groups }, (_, i) => Math.floor((outputs * (i + 1)) / groups) - Math.floor((outputs * i) / groups));
}

/** For each source, for each output: products with 0…15 and with 0, 16…240. Returns bytes written. */
function writeTables(area: Uint8Array, rows: readonly Uint8Array[]): number {
  let at = 0;
  for (let j = 0; j < rows[0]!.length; j++) {
    for (const row of rows) {
      for (let nibble = 0; nibble < 16; nibble++) {
        area[at + nibble] = multiply(row[j]!, nibble);
        area[at + 16 + nibble] = multiply(row[j]!, nibble << 4);
      }
      at += 32;
    }
  }
  return at;
}
