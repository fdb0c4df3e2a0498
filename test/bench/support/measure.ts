// How a benchmark measures here: what is compared runs in turn (A B A B …) in one process, a ratio is taken
// round by round, and medians are quoted. Absolute figures of a shared machine say little; ratios hold.
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const MIB = 1024 * 1024;

/** One file of test/bench. */
export interface Benchmark {
  name: string;
  /** One line for people. */
  about: string;
  run(report: Report, options: BenchOptions): Promise<void>;
}
interface BenchOptions {
  /** Samples of each side. */
  rounds: number;
  /** Of the largest object. */
  gib: number;
  /** In a bucket. */
  objects: number;
  /** A folder for this benchmark's data, removed afterwards. */
  folder: string;
  /** Where farmers leave their CPU profiles. */
  profileFolder?: string;
}

/** Something that is measured: each call is one sample, in `unit` of the figure. */
export type Sample = () => Promise<number>;

/** One warm-up of each, then `rounds` of all in turn. */
export async function interleaved<Name extends string>(
  rounds: number,
  sides: Record<Name, Sample>,
): Promise<Record<Name, number[]>> {
  const entries = Object.entries(sides) as [Name, Sample][];
  const results = Object.fromEntries(entries.map(([name]) => [name, [] as number[]])) as Record<Name, number[]>;
  for (const [, sample] of entries) await sample();
  for (let round = 0; round < rounds; round++) {
    for (const [name, sample] of entries) results[name].push(await sample());
  }
  return results;
}

/** Units of work for each second that `work` took. */
export async function rateOf(amount: number, work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (amount * 1000) / (performance.now() - startMs);
}

/** The same, with units for each CPU second of this process and of `others` kept as well: who else uses the machine shows less there. */
export function countedRate(
  amount: number,
  perCpuSecond: number[],
  work: () => Promise<unknown>,
  others: () => number = () => 0,
): Sample {
  const spentS = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6 + others();
  };
  return async () => {
    const beforeS = spentS();
    const rate = await rateOf(amount, work);
    perCpuSecond.push(amount / (spentS() - beforeS));
    return rate;
  };
}

/** CPU seconds of another process so far; NaN where there is no such file. */
export function cpuSecondsOf(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ');
    return (Number(fields[13]) + Number(fields[14])) / 100;
  } catch {
    return NaN;
  }
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}
function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
}

interface Line {
  figure: string;
  value: string;
  bound: string;
  ratio: string;
  target: string;
}

/** Prints a table at the end of each benchmark and keeps every sample as a line of JSON. */
export class Report {
  readonly #file: string;
  readonly #benchmark: string;
  readonly #lines: Line[] = [];

  constructor(folder: string, benchmark: string) {
    mkdirSync(folder, { recursive: true });
    this.#file = join(folder, 'results.jsonl');
    this.#benchmark = benchmark;
  }

  /** `values` beside `bound`, sample by sample: the ratio is what counts. */
  ratio(input: {
    figure: string;
    unit: string;
    values: readonly number[];
    bound: readonly number[];
    boundName: string;
    target?: number;
  }): void {
    const { figure, unit, values, bound, boundName, target } = input;
    const ratios = values.map((value, i) => value / bound[i]!);
    this.#lines.push({
      figure,
      value: `${short(median(values))} ${unit}`,
      bound: `${short(median(bound))} ${unit} ${boundName}`,
      ratio: `${percent(median(ratios))} (${percent(Math.min(...ratios))}–${percent(Math.max(...ratios))})`,
      target: target === undefined ? '' : `≥ ${percent(target)}`,
    });
    this.#keep({ figure, unit, values, bound, boundName, ratio: median(ratios), target });
  }

  /** A figure that stands for itself. */
  value(input: { figure: string; unit: string; values: readonly number[]; target?: string }): void {
    const { figure, unit, values, target } = input;
    const spread = values.length > 1 ? ` (${short(Math.min(...values))}–${short(Math.max(...values))})` : '';
    this.#lines.push({ figure, value: `${short(median(values))} ${unit}${spread}`, bound: '', ratio: '', target: target ?? '' });
    this.#keep({ figure, unit, values, target });
  }

  print(): void {
    const head: Line = { figure: this.#benchmark, value: 'median', bound: 'bound', ratio: 'ratio (min–max)', target: 'target' };
    const rows = [head, ...this.#lines].map(({ figure, value, bound, ratio, target }) => [figure, value, bound, ratio, target]);
    const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
    for (const row of rows)
      console.log(
        row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd(),
      );
    console.log('');
  }

  #keep(figure: object): void {
    const line = { at: new Date().toISOString(), benchmark: this.#benchmark, node: process.version, ...figure };
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
  }
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
