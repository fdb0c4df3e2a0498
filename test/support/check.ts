// `npm run check`: format, lint, types, dead code and drift of generated files, side by side, within a
// minute. Prints what failed in full and what passed in a line each.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const bin = (name: string) => join(root, 'node_modules/.bin', name);

const STEPS: { name: string; remedy: string; command: string; args: string[] }[] = [
  { name: 'format', remedy: 'run `npx oxfmt`', command: bin('oxfmt'), args: ['--check', '.'] },
  { name: 'lint', remedy: 'mend what is named', command: bin('oxlint'), args: ['--type-aware', '--deny-warnings'] },
  { name: 'types', remedy: 'mend what is named', command: bin('tsc'), args: ['--noEmit', '-p', '.'] },
  { name: 'dead code', remedy: 'delete it, or use it', command: bin('knip'), args: ['--no-progress'] },
  {
    name: 'drift',
    remedy: 'run `npm run generate`',
    command: process.execPath,
    args: [join(root, 'crds/generate.ts'), '--check'],
  },
];

/** Runs every step; resolves to the names that passed and failed. */
export async function check(print: (text: string) => void = console.log): Promise<{ passed: string[]; failed: string[] }> {
  const passed: string[] = [];
  const failed: string[] = [];
  await Promise.all(
    STEPS.map(async ({ name, remedy, command, args }) => {
      const startedMs = Date.now();
      const { code, output } = await run(command, args);
      const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
      if (code === 0) print(`check ${name}: ok (${seconds} s)`);
      else print(`check ${name}: FAILED (${seconds} s): ${remedy}\n${output.trimEnd()}`);
      (code === 0 ? passed : failed).push(name);
    }),
  );
  return { passed, failed };
}

function run(command: string, args: string[]): Promise<{ code: number; output: string }> {
  if (!existsSync(command)) return Promise.resolve({ code: 1, output: `${command} is missing: run npm ci` });
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const take = (data: Buffer) => {
      if (output.length < 200_000) output += data.toString();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', (error) => resolve({ code: 1, output: error.message }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { failed } = await check();
  process.exit(failed.length > 0 ? 1 : 0);
}
