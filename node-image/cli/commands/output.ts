// What a run says: results on standard output, for people or as JSON lines; progress on standard error, and
// only where a person sees it.
import type { Environment, Flags } from './command.ts';

export interface Output {
  isJson: boolean;
  /** One result. */
  say(record: object, text: string): void;
  /** Something for people only. */
  note(text: string): void;
  progress(label: string, totalBytes: number | null): Progress;
  /** The same for things that are counted: of how many isn't known. */
  counting(label: string, things: string): Progress;
  /** Takes the progress line away. */
  end(): void;
}
export interface Progress {
  /** Bytes of this transfer, or things, so far. */
  to(done: number): void;
  add(more: number): void;
  end(): void;
}

const DRAW_EVERY_MS = 100;
const BAR_WIDTH = 24;

export function createOutput({ stdout, stderr }: Environment, flags: Flags): Output {
  const isJson = flags['json'] === true;
  const isSeen = stderr.isTTY === true && !isJson && flags['quiet'] !== true;
  let isDrawn = false;
  const wipe = () => {
    if (isDrawn) stderr.write('\r\u001B[K');
    isDrawn = false;
  };
  const lineOf = (text: (done: number, seconds: number) => string): Progress => {
    const startedMs = performance.now();
    let drawnMs = startedMs;
    let done = 0;
    const to = (next: number) => {
      done = next;
      const nowMs = performance.now();
      if (!isSeen || nowMs - drawnMs < DRAW_EVERY_MS) return;
      drawnMs = nowMs;
      const line = text(done, (nowMs - startedMs) / 1000);
      stderr.write(`\r\u001B[K${line.slice(0, Math.max(20, (stderr.columns || 80) - 1))}`);
      isDrawn = true;
    };
    return { to, add: (more) => to(done + more), end: wipe };
  };
  return {
    isJson,
    say(record, text) {
      wipe();
      stdout.write(isJson ? `${JSON.stringify(record)}\n` : `${text}\n`);
    },
    note(text) {
      wipe();
      if (!isJson && flags['quiet'] !== true) stderr.write(`${text}\n`);
    },
    progress: (label, totalBytes) => lineOf((done, seconds) => progressLine({ label, done, totalBytes, seconds })),
    counting: (label, things) => lineOf((done, seconds) => `${label}  ${done} ${things}  ${Math.round(done / seconds)}/s`),
    end: wipe,
  };
}

/** Pure: "photo.jpg [=====>    ]  52 %  31.0 of 60.0 MiB  12.0 MiB/s  2 s left". */
export function progressLine(input: { label: string; done: number; totalBytes: number | null; seconds: number }): string {
  const { label, done, totalBytes, seconds } = input;
  const rate = done / Math.max(seconds, 0.001);
  const speed = `${sizeText(rate)}/s`;
  if (totalBytes === null || totalBytes === 0) return `${label}  ${sizeText(done)}  ${speed}`;
  const share = Math.min(1, done / totalBytes);
  const full = Math.round(share * BAR_WIDTH);
  const bar = `[${'='.repeat(full)}${' '.repeat(BAR_WIDTH - full)}]`;
  const left = rate > 0 ? `  ${Math.ceil((totalBytes - done) / rate)} s left` : '';
  return `${label} ${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${sizeText(done)} of ${sizeText(totalBytes)}  ${speed}${left}`;
}

/** 1536 → "1.5 KiB". */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** "2026-11-28 17:04:05", UTC. */
export const timeText = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
