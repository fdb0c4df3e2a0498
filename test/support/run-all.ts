// `npm test`: all levels. First the check, then two rows side by side: what reckons, and what mostly waits for a cluster.
//   npm test                           everything
//   npm test -- --without cluster      leaves a level out, by the user's word (not with CI=true)
//   npm test -- --only pure            just these levels
//   npm test -- --context NAME         the cluster level on an existing cluster of the kubeconfig
// A level that this machine can't host is said loudly and counts as failed. The last line is
// `N passed, N failed, N skipped`; the exit code is 1 if anything failed or was skipped.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { check } from './check.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const LEVELS = ['check', 'pure', 'simulation', 'process', 'control-plane', 'cluster'] as const;
type Level = (typeof LEVELS)[number];
/** The last row's output is shown as it comes, that of the others when a level has ended. */
const ROWS: Level[][] = [
  ['pure', 'simulation', 'process'],
  ['control-plane', 'cluster'],
];
interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  /** What failed, a line each and why: said again at the end, where it is found. */
  failures: string[];
}

const { values } = parseArgs({
  options: {
    without: { type: 'string', multiple: true, default: [] },
    only: { type: 'string', multiple: true, default: [] },
    context: { type: 'string' },
  },
});
const without = levels(values.without, '--without');
const only = levels(values.only, '--only');
if (process.env['CI'] === 'true' && (without.length > 0 || only.length > 0)) {
  die('With CI=true every level runs: drop --without and --only.');
}

/** Each level is a process group of its own: told to end, all that it has started hears it, and is killed where it doesn't. */
const underWay = new Set<ChildProcess>();
const GRACE_MS = 30_000;
let isEnding = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    isEnding = true;
    for (const child of underWay) tell(child, 'SIGINT');
    setTimeout(() => underWay.forEach((child) => tell(child, 'SIGKILL')), GRACE_MS).unref();
  });
}

const total: Counts = { passed: 0, failed: 0, skipped: 0, failures: [] };
const notes = new Map<Level, string>();
await runLevel('check', true);
const last = ROWS.findLast((row) => row.some((level) => !isLeftOut(level) && obstacleOf(level) === null));
await Promise.all(ROWS.map((row) => runRow(row, row === last)));
console.log(`\n${[...total.failures, ...LEVELS.flatMap((level) => notes.get(level) ?? [])].join('\n')}`);
console.log(line(total));
if (isEnding) console.log('Ended before all levels had run.');
process.exit(isEnding || total.failed > 0 || total.skipped > 0 || total.passed === 0 ? 1 : 0);

async function runRow(row: readonly Level[], isLive: boolean): Promise<void> {
  for (const level of row) await runLevel(level, isLive);
}

async function runLevel(level: Level, isLive: boolean): Promise<void> {
  if (isEnding) return;
  if (isLeftOut(level)) {
    notes.set(level, `LEFT OUT: ${level} (by your word)`);
    return;
  }
  const obstacle = obstacleOf(level);
  if (obstacle) {
    notes.set(level, `NOT RUN: ${level} (${obstacle})`);
    total.failed += 1;
    return;
  }
  console.log(`\n== ${level}${isLive ? '' : ' (its output comes when it ends)'}`);
  const startMs = Date.now();
  const counts = level === 'check' ? await runCheck() : await runVitest(level, isLive);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  total.failures.push(...counts.failures.map((text) => `FAILED: ${level}: ${text}`));
  notes.set(level, `${level}: ${line(counts)} (${Math.round((Date.now() - startMs) / 1000)} s)`);
}

function tell({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}

function isLeftOut(level: Level): boolean {
  return without.includes(level) || (only.length > 0 && !only.includes(level));
}

function line(counts: Counts): string {
  return `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
}

/** Why this machine can't host the level, or null. */
function obstacleOf(level: Level): string | null {
  if (level !== 'cluster' && level !== 'control-plane') return null;
  if (level === 'cluster' && values.context) return null;
  if (process.platform === 'linux' && process.getuid?.() === 0) return null;
  return level === 'cluster' ? 'needs Linux and root, or --context NAME' : 'needs Linux and root';
}

async function runCheck(): Promise<Counts> {
  const { passed, failed } = await check();
  return { passed: passed.length, failed: failed.length, skipped: 0, failures: failed };
}

async function runVitest(level: Level, isLive: boolean): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), 'storj-test-'));
  const report = join(folder, 'report.json');
  const args = ['run', '--project', level, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const env = { ...process.env, ...(values.context ? { STORJ_TEST_CONTEXT: values.context } : {}) };
  const outputFile = join(folder, 'output');
  const output = isLive ? 'inherit' : openSync(outputFile, 'w');
  const code = await new Promise<number>((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), ...args], {
      cwd: root,
      stdio: ['ignore', output, output],
      env,
      detached: true,
    });
    underWay.add(child);
    child.on('error', reject);
    child.on('close', (exitCode) => {
      underWay.delete(child);
      resolve(exitCode ?? 1);
    });
  });
  if (output !== 'inherit') {
    closeSync(output);
    console.log(`\n== ${level}\n${readFileSync(outputFile, 'utf8')}`);
  }
  const counts = readReport(report);
  rmSync(folder, { recursive: true, force: true });
  // A file that fails to load, a hook that fails or an unhandled error has no failed test of its own.
  if (code !== 0 && counts.failed === 0) {
    counts.failed += 1;
    counts.failures.push(`vitest ended with ${code}, and no test of its own failed: see above`);
  }
  return counts;
}

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: {
    name: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages?: string[] }[];
  }[];
}

function readReport(file: string): Counts {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests,
      skipped: report.numPendingTests + report.numTodoTests,
      failures: report.testResults.flatMap(failuresOf),
    };
  } catch {
    return { passed: 0, failed: 1, skipped: 0, failures: ['vitest left no report: see above'] };
  }
}

function failuresOf({ name, message, assertionResults }: Report['testResults'][number]): string[] {
  const failed = assertionResults.filter(({ status }) => status === 'failed');
  const texts = failed.map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages?.join(' ') ?? ''}`);
  if (message && failed.length === 0) texts.push(message);
  return texts.map((text) => `${relative(root, name)}: ${text.split('\n').slice(0, 6).join('\n    ')}`);
}

function levels(words: string[], option: string): Level[] {
  return words
    .flatMap((word) => word.split(','))
    .map(
      (word) =>
        LEVELS.find((level) => level === word) ?? die(`${option} ${word}: no such level; there are ${LEVELS.join(', ')}.`),
    );
}

function die(text: string): never {
  console.error(text);
  process.exit(2);
}
