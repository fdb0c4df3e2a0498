// The command without a farm: what it takes, what it refuses and how it says so.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { openStorj, StorjError } from 'storjfarm';
import { afterAll, describe, expect, it } from 'vitest';
import { rangeOf } from '#node/cli/commands/get.ts';
import { loadConfig, saveConfig } from '#node/cli/commands/device-config.ts';
import { localMessage } from '#node/cli/commands/local-errors.ts';
import { textOf } from '#node/cli/commands/reset.ts';
import { createOutput, progressLine, sizeText } from '#node/cli/commands/output.ts';
import { runStorj } from '#node/cli/commands/run.ts';
import { keyInto, remote, remoteOrNull } from '#node/cli/commands/target.ts';
import { parseFarmer } from '#node/device/farm-door.ts';
import { peerIdOf } from '#node/core/ids.ts';
import { wordsFromEntropy } from '#node/core/keys.ts';
import { testKey } from '#test/support/memory-farmer.ts';

const folder = mkdtempSync(join(tmpdir(), 'storj-command-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const WORDS = wordsFromEntropy(new Uint8Array(32).fill(7));

function sink() {
  const chunks: Buffer[] = [];
  const stream = new Writable({ write: (chunk: Buffer, _, done) => (chunks.push(chunk), done()) });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}
async function storj(argv: string[], env: Record<string, string> = {}, stdin = '') {
  const [stdout, stderr] = [sink(), sink()];
  const exit = await runStorj({
    argv,
    env: { HOME: folder, ...env },
    stdin: Readable.from([stdin]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    signal: new AbortController().signal,
  });
  return { exit, out: stdout.text(), err: stderr.text() };
}

describe('the command line', () => {
  it('explains itself, as a whole and each command', async () => {
    const all = await storj(['--help']);
    expect(all.exit).toBe(0);
    for (const name of ['ls', 'get', 'put', 'rm', 'cp', 'mv', 'mb', 'rb', 'grants', 'share', 'status', 'restore', 'reset']) {
      expect(all.out).toContain(`storj ${name}`);
      const one = await storj([name, '--help']);
      expect([one.exit, one.out.startsWith(`storj ${name}`)]).toEqual([0, true]);
      expect((await storj(['help', name])).out).toBe(one.out);
    }
  });

  it.each([
    [['nonsense'], 'There is no command "nonsense"'],
    [['get'], 'Usage: storj get'],
    [['ls', '--nonsense'], "Unknown option '--nonsense'"],
    [['cp', 'a', 'b'], 'One of the two has to be an object'],
    [['cp', 'sj://a/', 'b'], 'add --recursive'],
    [['rm', 'bucket'], 'names a bucket and no object'],
    [['get', 'a/b', '--range', 'x'], 'A range is FIRST-LAST'],
    [['mb', 'A'], '3 to 63 small letters'],
    [['ls'], 'Which account, and where?'],
    [['ls', '--words-file', '/nowhere/words'], "/nowhere/words isn't there"],
    [['ls', '--grant', '/nowhere/grant'], "/nowhere/grant isn't there"],
    [['put', '/nowhere/file', 'a'], "/nowhere/file isn't there"],
    [['cp', '/nowhere/file', 'sj://a/'], "/nowhere/file isn't there"],
    [['help', 'nonsense'], 'There is no command "nonsense"'],
    [['--quiet', 'ls'], 'The command comes before its flags'],
    [['grants', 'nonsense'], 'grants key, ask, approve, create, hand-on, list or revoke'],
    [['grants', 'hand-on', '--bearer'], 'Hand on what?'],
    [['grants', 'ask'], 'Ask for what?'],
    [['grants', 'approve'], 'Approve what?'],
    [['grants', 'create', 'a'], '--bearer'],
    [['grants', 'create', 'a', '--bearer', '--days', '31'], '1 to 30'],
    [['grants', 'create', 'a', '--bearer', '--prefix', 'x'], 'storj share create'],
    [['share', 'create'], 'Share what?'],
    [['reset', '--yes'], 'Reset what?'],
    [['reset', 'photos', '--account'], 'Either a bucket or --account'],
    [['share', 'renew'], 'Which share?'],
    [['put', '-', 'a/b', '--words-file', '-'], 'not both'],
  ])('refuses %j with exit code 2 and the way to help', async (argv, message) => {
    const { exit, err } = await storj(argv);
    expect(exit).toBe(2);
    expect(err).toContain(message);
    expect(err).toContain('--help');
  });

  it('says who would open the account, and that nobody answers', async () => {
    expect(await storj(['ls', '--farmer', 'https://127.0.0.1:1'])).toMatchObject({
      exit: 5,
      err: expect.stringContaining('STORJ_WORDS') as string,
    });
    const silent = await storj(['ls', '--json'], { STORJ_WORDS: WORDS, STORJ_FARMER: 'https://127.0.0.1:1' });
    expect(silent.exit).toBe(4);
    expect(JSON.parse(silent.err)).toMatchObject({ error: { code: 'NoFarmer' } });
    const wrong = await storj(['ls', '--words-file', '-', '--farmer', 'https://127.0.0.1:1'], {}, 'twenty-four words');
    expect(wrong.exit).toBe(5);
  });

  it('asks for the farm where the words alone are given, and for a seed that is one', async () => {
    expect(await storj(['ls'], { STORJ_WORDS: WORDS })).toMatchObject({
      exit: 2,
      err: expect.stringContaining('Which farm?') as string,
    });
    const seed = await storj(['ls', '--grant', 'sj-grant/1:x'], { STORJ_GRANT_KEY: 'secret' });
    expect(seed).toMatchObject({ exit: 2, err: expect.stringContaining('64 hex digits') as string });
    expect(seed.err).not.toContain('secret');
    expect(await storj(['ls', '--grant', 'sj-grant/1:x'])).toMatchObject({ exit: 5 });
  });

  it('says what is wrong with a file of this machine, and where', () => {
    expect(localMessage(Object.assign(new Error('x'), { code: 'EACCES', path: '/a/b' }))).toContain('/a/b may not be read');
    expect(localMessage(Object.assign(new Error('x'), { code: 'ENOSPC', path: '/a/b' }))).toContain('/a/b: make room');
    expect(localMessage(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))).toBeNull();
    expect(localMessage('ENOENT')).toBeNull();
  });

  it('never takes words as an argument', async () => {
    expect(await storj(['ls', '--words', WORDS])).toMatchObject({ exit: 2 });
  });
});

describe('a reset', () => {
  it('says what is kept, what is lost, and who has not been asked', () => {
    const log = { logId: 'a'.repeat(64), writer: 'b'.repeat(64), seq: 4, lastMs: 0, lostBatches: 2 };
    const nothing = { ...log, seq: 0, lastMs: null, lostBatches: 0 };
    const left = { bucketId: 'c'.repeat(32), name: 'photos', replicas: { members: 3, answering: 2 }, logs: [log, nothing] };
    expect(textOf(left).split('\n')).toEqual([
      'bucket photos',
      "  1 of its 3 farmers don't answer: they may have more. Bring them back first.",
      '  writer bbbbbbbbbbbbbbbb  kept: 4 batches until 1970-01-01 00:00:00; LOST: 2 batches after that',
      '  writer bbbbbbbbbbbbbbbb  nothing is left; nothing known to be lost',
    ]);
    const account = { ...left, name: null, replicas: { members: 3, answering: 3 }, logs: [] };
    expect(textOf(account)).toBe('the account (buckets and settings)');
  });
});

describe('names', () => {
  it('of objects', () => {
    expect(remote('photos')).toEqual({ bucket: 'photos', key: '' });
    expect(remote('photos/a/b c.jpg')).toEqual({ bucket: 'photos', key: 'a/b c.jpg' });
    expect(remote('sj://photos//x')).toEqual({ bucket: 'photos', key: '/x' });
    expect(remoteOrNull('photos/a')).toBeNull();
    expect(remoteOrNull('s3://photos/a')).toEqual({ bucket: 'photos', key: 'a' });
    expect(() => remote('/etc/passwd')).toThrow('names no bucket');
    expect(keyInto(remote('photos/dir/'), '/tmp/x.jpg')).toBe('dir/x.jpg');
    expect(keyInto(remote('photos/other'), '/tmp/x.jpg')).toBe('other');
  });
  it('of ranges', () => {
    expect(rangeOf(undefined)).toBeNull();
    expect(rangeOf('5-9')).toEqual({ offset: 5, length: 5 });
    expect(rangeOf('7-')).toEqual({ offset: 7 });
    for (const bad of ['', '9-5', '-5', 'a-b', '1-2-3']) expect(() => rangeOf(bad)).toThrow('FIRST-LAST');
  });
  it('of farmers', () => {
    const { publicKey } = testKey('farmer');
    const expected = { url: 'https://farm.default.svc:4433', farmer: publicKey };
    expect(parseFarmer(`https://farm.default.svc#${peerIdOf(publicKey)}`)).toEqual(expected);
    expect(parseFarmer(`https://farm.default.svc:4433#${publicKey}`)).toEqual(expected);
    expect(parseFarmer('https://[::1]:7')).toEqual({ url: 'https://[::1]:7', farmer: null });
    for (const bad of ['farm:4433', 'http://farm', 'https://', 'https://farm#nobody']) {
      expect(() => parseFarmer(bad)).toThrow(expect.objectContaining({ code: 'BadAddress' }));
    }
  });
});

describe('what people see', () => {
  it('shows how far it is', () => {
    const line = progressLine({ label: 'x.jpg', done: 50, totalBytes: 200, seconds: 10 });
    expect(line).toBe(`x.jpg [${'='.repeat(6)}${' '.repeat(18)}]  25 %  50 B of 200 B  5 B/s  30 s left`);
    expect(progressLine({ label: '-', done: 2048, totalBytes: null, seconds: 1 })).toBe('-  2.0 KiB  2.0 KiB/s');
    expect([sizeText(0), sizeText(1023), sizeText(1536), sizeText(5 * 2 ** 40)]).toEqual(['0 B', '1023 B', '1.5 KiB', '5.0 TiB']);
  });
});

describe('what a terminal shows of things that are counted', () => {
  it('is how many are done, on one line that results take away', async () => {
    const [out, err] = [sink(), sink()];
    const rest = { argv: [], env: {}, stdin: Readable.from([]), signal: new AbortController().signal };
    const output = createOutput({ ...rest, stdout: out.stream, stderr: Object.assign(err.stream, { isTTY: true }) }, {});
    const progress = output.counting('photos/', 'objects deleted');
    await new Promise((resolve) => setTimeout(resolve, 150));
    progress.add(3);
    output.say({ removed: 3 }, 'done');
    expect(err.text().replace(/\d+\/s/, 'N/s')).toBe('\r\u001B[Kphotos/  3 objects deleted  N/s\r\u001B[K');
    expect(out.text()).toBe('done\n');
  });
});

describe('a device’s configuration', () => {
  const config = { format: 1 as const, owner: 'a'.repeat(64), deviceSeed: 'b'.repeat(64), farm: 'c'.repeat(64), farmers: ['x'] };
  it('comes back as it was and is for its owner’s eyes alone', async () => {
    const where = join(folder, 'config');
    expect(await loadConfig(where)).toBeNull();
    const file = await saveConfig(where, config);
    expect(await loadConfig(where)).toEqual(config);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).not.toContain('words');
    writeFileSync(file, '{}');
    await expect(loadConfig(where)).rejects.toMatchObject({ code: 'NoAccess' });
  });
});

describe('the library', () => {
  it('is what the package exports', async () => {
    await expect(openStorj({ farmers: [] })).rejects.toBeInstanceOf(StorjError);
    await expect(openStorj({ words: WORDS, farmers: [] })).rejects.toMatchObject({ code: 'NoFarmer' });
  });
});

describe('standard output', () => {
  it('carries nothing but results', async () => {
    expect(await storj(['ls', '--farmer', 'nonsense'], { STORJ_WORDS: WORDS })).toMatchObject({ exit: 2, out: '' });
  });
});
