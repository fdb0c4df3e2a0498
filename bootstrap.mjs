// Runs a script of this project on the project's own Node, whatever Node started it (20 or newer).
//   node bootstrap.mjs [NODE FLAG ...] SCRIPT.ts [ARG ...]
//   node bootstrap.mjs --no-install PREFLIGHT.mjs SCRIPT.ts [ARG ...]
// First `npm ci`, but only where node_modules differs from the lock; then SCRIPT under
// node_modules/.bin/node (npm packages carry the binary, so nothing is installed on the machine).
// With --no-install, PREFLIGHT.mjs (plain JavaScript, Node built-ins only) runs before anything is
// installed, and a non-zero exit of it ends the run.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);
const fail = (text) => {
  say(text);
  process.exit(1);
};

const args = process.argv.slice(2);
if (Number(process.versions.node.split('.')[0]) < 20) {
  fail(`Node ${process.versions.node} is too old to start this project: install Node 20 or newer, then run the command again.`);
}
if (args[0] === '--no-install') {
  args.shift();
  const preflight = args.shift();
  const result = spawnSync(process.execPath, [join(root, preflight), ...args.slice(1)], { stdio: 'inherit' });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

install();
const node = join(root, 'node_modules/.bin/node');
if (!existsSync(node)) {
  fail(
    `There is no Node for ${process.platform}-${process.arch} among this project's packages (linux and darwin, x64 and arm64, have one). Use one of those, or a Linux VM.`,
  );
}
const at = args.findIndex((arg) => !arg.startsWith('--'));
const [flags, script, rest] = [args.slice(0, at), args[at], args.slice(at + 1)];
const child = spawn(node, ['--disable-warning=ExperimentalWarning', ...flags, join(root, script), ...rest], {
  stdio: 'inherit',
  env: { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}` },
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => fail(`could not start ${node}: ${error.message}`));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));

/** `npm ci` where node_modules was not made from exactly this lock, on this kind of machine. */
function install() {
  const stamp = join(root, 'node_modules/.lock-hash');
  const lock = readFileSync(join(root, 'package-lock.json'));
  const wanted = createHash('sha256').update(lock).update(`${process.platform}-${process.arch}`).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('Installing npm packages (npm ci, about a minute the first time) …');
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.error || result.status !== 0) {
    fail(
      `npm ci failed${result.error ? `: ${result.error.message}` : ''}. It needs a package registry; the lines above say what went wrong.`,
    );
  }
  writeFileSync(stamp, wanted);
}
