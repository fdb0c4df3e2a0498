/** The first index for which it holds, given that it holds for all behind that too; `length` where it holds for none. */
export function lowerBound(length: number, holds: (i: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
