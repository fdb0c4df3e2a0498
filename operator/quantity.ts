// Kubernetes quantities of bytes and our durations, as numbers.

const factors: Record<string, number> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** Bytes of a quantity such as `100Gi`, rounded up; NaN where it isn't one. */
export function bytesOf(quantity: string | number): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$/.exec(String(quantity));
  if (!match) return Number.NaN;
  return Math.ceil(Number(match[1]) * (factors[match[2] ?? ''] ?? Number.NaN));
}

/** Milliseconds of a duration such as `1h30m`; NaN where it isn't one. */
export function millisecondsOf(duration: string): number {
  if (!/^([0-9]+(h|m|s))+$/.test(duration)) return Number.NaN;
  let sum = 0;
  for (const [, number, unit] of duration.matchAll(/([0-9]+)(h|m|s)/g)) {
    sum += Number(number) * (unit === 'h' ? 3_600_000 : unit === 'm' ? 60_000 : 1000);
  }
  return sum;
}

/** For people: `1.5Gi`, `600Gi`. Exact for whole units, else two digits. */
export function bytesText(bytes: number): string {
  const units = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = Number.isInteger(value) ? String(value) : value >= 10 ? value.toFixed(0) : value.toFixed(1);
  return `${text}${units[unit]}`;
}

/** Keeps two digits, so that a number that moves by itself is rarely written: 1 % and finer below 10. */
export function rounded(value: number): number {
  if (value < 100) return Math.round(value);
  const step = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Math.round(value / step) * step;
}
