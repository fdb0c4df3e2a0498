// The inner loop of erasure coding as a WebAssembly module, written by TypeScript at start (a millisecond,
// 3 KB): no build step and no bytes in the repository that nobody can read.
//
// dot<M>x<U>(sources, k, targets, tables, from, to) computes M outputs from k sources over GF(2^8), bytes
// `from` to `to` of each, U vectors of 16 bytes at a time. A product with a constant is two lookups in
// tables of 16 bytes (low and high nibble), which is what SIMD's swizzle does 16 times at once. Sums stay
// in registers over all k sources. `sources` and `targets` are lists of u32 addresses; `tables` holds
// 32 bytes for each (source, output), source by source.

/** Outputs at once → vectors in flight; the shapes that measured best. A run of U vectors ends with U = 1. */
export const KERNEL_SHAPES: readonly [outputs: number, vectors: number][] = [
  [1, 4],
  [2, 4],
  [3, 2],
  [4, 2],
  [1, 1],
  [2, 1],
  [3, 1],
  [4, 1],
];

export type DotKernel = (sources: number, k: number, targets: number, tables: number, from: number, to: number) => void;

export function kernelName(outputs: number, vectors: number): string {
  return `dot${outputs}x${vectors}`;
}

/** The module; `relaxed` uses relaxed_swizzle, half again as fast where an engine has it, with equal results (indices are below 16). */
export function kernelBytes(relaxed: boolean): Uint8Array<ArrayBuffer> {
  const type = code(0x60, vector(Array.from({ length: 6 }, () => [I32])), vector([]));
  const memory = code(name('env'), name('memory'), 0x02, 0x03, uleb(1), uleb(65_536));
  const exports = KERNEL_SHAPES.map(([m, u], i) => code(name(kernelName(m, u)), 0x00, uleb(i)));
  const bodies = KERNEL_SHAPES.map(([m, u]) => {
    const body = dotBody(m, u, relaxed);
    return code(uleb(body.length), body);
  });
  const module = code(
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    section(1, vector([type])),
    section(2, vector([memory])),
    section(3, vector(KERNEL_SHAPES.map(() => uleb(0)))),
    section(7, vector(exports)),
    section(10, vector(bodies)),
  );
  return Uint8Array.from(module);
}

// ---- one function ---------------------------------------------------------------------------

const [SOURCES, K, TARGETS, TABLES, FROM, TO] = [0, 1, 2, 3, 4, 5] as const;
const [LEFT, TABLE, LIST, ADDRESS] = [6, 7, 8, 9] as const;
const FIRST_V128 = 10;

function dotBody(outputs: number, vectors: number, relaxed: boolean): number[] {
  let next = FIRST_V128;
  const local = () => next++;
  const [value, tableLow, tableHigh] = [local(), local(), local()];
  const low = Array.from({ length: vectors }, local);
  const high = Array.from({ length: vectors }, local);
  const sums = Array.from({ length: outputs }, () => Array.from({ length: vectors }, local));
  const swizzle = simd(relaxed ? 0x100 : 0x0e);

  const splitNibbles = low.map((lowOne, u) => [
    ...code(get(ADDRESS), loadVector(16 * u), set(value)),
    ...code(get(value), NIBBLE_MASK, AND, set(lowOne)),
    ...code(get(value), i32(4), SHIFT_RIGHT_16, NIBBLE_MASK, AND, set(high[u]!)),
  ]);
  const lookUp = (u: number) => code(get(tableLow), get(low[u]!), swizzle, get(tableHigh), get(high[u]!), swizzle, XOR);
  const addUp = sums.map((sum, m) => [
    ...code(get(TABLE), loadVector(32 * m), set(tableLow)),
    ...code(get(TABLE), loadVector(32 * m + 16), set(tableHigh)),
    ...sum.flatMap((one, u) => code(get(one), lookUp(u), XOR, set(one))),
  ]);
  const eachSource = loop(
    code(get(LIST), loadAddress(0), get(FROM), ADD_I32, set(ADDRESS)),
    ...splitNibbles,
    ...addUp,
    advance(LIST, 4),
    advance(TABLE, 32 * outputs),
    code(get(LEFT), i32(1), SUB_I32, tee(LEFT), BR_IF_LOOP),
  );
  const store = sums.map((sum, m) => [
    ...code(get(TARGETS), loadAddress(4 * m), get(FROM), ADD_I32, set(ADDRESS)),
    ...sum.flatMap((one, u) => code(get(ADDRESS), get(one), storeVector(16 * u))),
  ]);
  const eachStep = loop(
    ...sums.flat().map((one) => code(ZERO_VECTOR, set(one))),
    code(get(K), set(LEFT), get(TABLES), set(TABLE), get(SOURCES), set(LIST)),
    eachSource,
    ...store,
    code(get(FROM), i32(16 * vectors), ADD_I32, tee(FROM), get(TO), LESS_U32, BR_IF_LOOP),
  );
  const locals = vector([code(uleb(FIRST_V128 - LEFT), I32), code(uleb(next - FIRST_V128), V128)]);
  return code(locals, eachStep, END);
}

// ---- WebAssembly, the few words of it that are needed ----------------------------------------

const I32 = 0x7f;
const V128 = 0x7b;
const END = 0x0b;
const ADD_I32 = 0x6a;
const SUB_I32 = 0x6b;
const LESS_U32 = 0x49;
const BR_IF_LOOP = [0x0d, 0x00];
const AND = simd(0x4e);
const XOR = simd(0x51);
const SHIFT_RIGHT_16 = simd(0x8d); // i16x8.shr_u: the mask takes care of the neighbour's bits
const ZERO_VECTOR = code(
  simd(0x0c),
  Array.from({ length: 16 }, () => 0x00),
);
const NIBBLE_MASK = code(
  simd(0x0c),
  Array.from({ length: 16 }, () => 0x0f),
);

function code(...parts: readonly (number | readonly number[])[]): number[] {
  return parts.flat();
}
function get(local: number): number[] {
  return code(0x20, uleb(local));
}
function set(local: number): number[] {
  return code(0x21, uleb(local));
}
function tee(local: number): number[] {
  return code(0x22, uleb(local));
}
/** A small positive constant, as signed LEB128. */
function i32(value: number): number[] {
  return value < 0x40 ? [0x41, value] : [0x41, (value % 128) | 0x80, Math.floor(value / 128)];
}
function simd(opcode: number): number[] {
  return code(0xfd, uleb(opcode));
}
function loadAddress(offset: number): number[] {
  return code(0x28, uleb(2), uleb(offset));
}
function loadVector(offset: number): number[] {
  return code(simd(0x00), uleb(0), uleb(offset));
}
function storeVector(offset: number): number[] {
  return code(simd(0x0b), uleb(0), uleb(offset));
}
function advance(local: number, by: number): number[] {
  return code(get(local), i32(by), ADD_I32, set(local));
}
function loop(...body: readonly number[][]): number[] {
  return code(0x03, 0x40, ...body, END);
}
function section(id: number, content: number[]): number[] {
  return code(id, uleb(content.length), content);
}
function vector(items: readonly number[][]): number[] {
  return code(uleb(items.length), ...items);
}
function name(text: string): number[] {
  return vector([...Buffer.from(text)].map((byte) => [byte]));
}
function uleb(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) out.push((rest % 128) | 0x80);
  return [...out, rest];
}
