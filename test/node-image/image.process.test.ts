// The product's image, built with a stand-in for the app: what is in it, that it is the same each time,
// and how it gets to a registry.
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildProductImage, type BuiltImage } from '#node/image.ts';
import { pushImage } from '#node/oci/push-image.ts';
import { tarMembers, type TarMember } from '#node/oci/read-tar.ts';

const ENTRIES = { node: 'test/node-image/image-fixture/app.ts', storj: 'test/node-image/image-fixture/app.ts' };
const MAX_COMPRESSED_BYTES = 65e6;

let folder: string;
let built: BuiltImage;
let manifest: { config: { digest: string }; layers: { digest: string; size: number }[] };
let members: Map<string, TarMember>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'image-'));
  built = await buildProductImage({ cacheDir: join(folder, 'cache'), entries: ENTRIES });
  const archive = await tarMembers(built.tar);
  const index = JSON.parse(blob(archive.get('index.json')).toString()) as {
    manifests: { digest: string; annotations: Record<string, string> }[];
  };
  expect(index.manifests[0]?.annotations['io.containerd.image.name']).toBe(built.name);
  manifest = JSON.parse(blob(archive.get(`blobs/${index.manifests[0]?.digest.replace(':', '/')}`)).toString()) as typeof manifest;
  members = new Map();
  for (const [number, layer] of manifest.layers.entries()) {
    const packed = blob(archive.get(`blobs/${layer.digest.replace(':', '/')}`));
    expect(`sha256:${createHash('sha256').update(packed).digest('hex')}`).toBe(layer.digest);
    const file = join(folder, `layer${number}.tar`);
    writeFileSync(file, gunzipSync(packed));
    for (const [path, member] of await tarMembers(file)) members.set(path, member);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function blob(member: TarMember | undefined): Buffer {
  if (member === undefined) throw new Error('no such member');
  return readFileSync(built.tar).subarray(member.offset, member.offset + member.sizeBytes);
}

describe('the product image', () => {
  it('is the same byte for byte when built again from nothing, and is named by its content', async () => {
    const again = await buildProductImage({ cacheDir: join(folder, 'other-cache'), entries: ENTRIES });
    expect(again.name).toBe(built.name);
    expect(built.name).toMatch(/^localhost\/storj-node:[0-9a-f]{16}$/);
    expect(readFileSync(again.tar).equals(readFileSync(built.tar))).toBe(true);
    const other = await buildProductImage({
      cacheDir: join(folder, 'cache'),
      entries: { node: 'test/node-image/image-fixture/doubler.ts' },
    });
    expect(other.name).not.toBe(built.name);
  });

  it('is small', () => {
    expect(built.compressedBytes).toBeLessThan(MAX_COMPRESSED_BYTES);
    expect(built.compressedBytes).toBeGreaterThan(30e6);
    expect(statSync(built.tar).size).toBeLessThan(MAX_COMPRESSED_BYTES);
  });

  it('has `storj` as a program, and as a file for Node where a pod begins', () => {
    expect(members.get('usr/local/bin/storj')).toMatchObject({ mode: 0o755, type: '0' });
    expect(members.get('storj')).toMatchObject({ type: '2', linkTo: 'usr/local/bin/storj' });
    expect(members.has('app/storj.mjs')).toBe(true);
  });

  it('runs Node as a numbered user who is not root', async () => {
    const archive = await tarMembers(built.tar);
    const config = JSON.parse(blob(archive.get(`blobs/${manifest.config.digest.replace(':', '/')}`)).toString()) as {
      os: string;
      config: { User: string; Entrypoint: string[] };
      rootfs: { diff_ids: string[] };
    };
    expect(config.config.User).toBe('65532:65532');
    expect(config.config.Entrypoint).toEqual(['/usr/local/bin/node']);
    expect(config.os).toBe('linux');
    expect(config.rootfs.diff_ids).toHaveLength(manifest.layers.length);
  });

  it('holds the C library, Node and the app, and no shell, package manager or setuid program', () => {
    const programs = [...members.values()].filter(
      ({ type, mode, path }) => type === '0' && (mode & 0o111) !== 0 && !/\.so[.\d]*$|^lib64\//.test(path),
    );
    expect(programs.map(({ path }) => path)).toEqual(['usr/local/bin/node', 'usr/local/bin/storj']);
    expect(
      [...members.values()].filter(({ mode, userId, path }) => userId !== 0 || ((mode & 0o7000) !== 0 && path !== 'tmp')),
    ).toEqual([]);
    expect([...members.keys()]).toEqual(
      expect.arrayContaining(['app/node.mjs', 'app/doubler.mjs', 'etc/passwd', 'etc/nsswitch.conf', 'tmp']),
    );
    expect([...members.keys()].filter((path) => path.endsWith('/libc.so.6'))).toHaveLength(1);
    expect([...members.keys()].filter((path) => path.endsWith('.node'))).toHaveLength(2);
    const stray = [...members.keys()].filter((path) => !/^(app|etc|lib|lib64|usr|tmp|storj)(\/|$)/.test(path));
    expect(stray).toEqual([]);
  });

  it('has an app that runs where nothing else is installed: add-ons, worker, SQLite, a package in CommonJS', () => {
    const root = join(folder, 'root');
    mkdirSync(root);
    execFileSync('tar', ['-xf', join(folder, 'layer1.tar'), '-C', root]);
    const output = execFileSync(process.execPath, [join(root, 'app/node.mjs'), 'farmer'], {
      cwd: '/',
      encoding: 'utf8',
      env: {},
    });
    expect(JSON.parse(output)).toMatchObject({
      role: 'farmer',
      blake3: '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85',
      crc32: 0x352441c2,
      sqlite: 42,
      doubled: 42,
      express: 'function',
    });
    expect(readFileSync(join(root, 'app/node.mjs'), 'utf8')).not.toContain(process.cwd());
  });
});

describe('pushing', () => {
  let registry: FakeRegistry;
  beforeAll(async () => void (registry = await fakeRegistry()));
  afterAll(() => void registry.server.close());

  it('stores every blob under its digest and the manifest under its tag, logged in by token', async () => {
    const credentialsFile = join(folder, 'config.json');
    const auth = Buffer.from('ann:secret').toString('base64');
    writeFileSync(credentialsFile, JSON.stringify({ auths: { [registry.host]: { auth } } }));
    await pushImage({ archive: built.tar, reference: `${registry.host}/team/storj-node:v1`, credentialsFile });
    expect(JSON.parse(registry.manifests.get('team/storj-node:v1')?.toString() ?? '')).toEqual(manifest);
    expect([...registry.blobs.keys()].sort()).toEqual(
      [manifest.config.digest, ...manifest.layers.map(({ digest }) => digest)].sort(),
    );

    const uploadsBefore = registry.uploads;
    await pushImage({ archive: built.tar, reference: `${registry.host}/team/storj-node:v2`, credentialsFile });
    expect(registry.uploads).toBe(uploadsBefore);
    expect(registry.manifests.has('team/storj-node:v2')).toBe(true);
  });

  it('says what to do when the registry lets nobody in, and when the reference is none', async () => {
    const reference = `${registry.host}/team/storj-node:v3`;
    await expect(pushImage({ archive: built.tar, reference })).rejects.toThrow(/401.*docker login/);
    expect(registry.manifests.has('team/storj-node:v3')).toBe(false);
    await expect(pushImage({ archive: built.tar, reference: 'storj-node' })).rejects.toThrow(/HOST\/PATH\/NAME:TAG/);
    const notAnImage = join(folder, 'layer1.tar');
    expect(existsSync(notAnImage)).toBe(true);
    await expect(pushImage({ archive: notAnImage, reference })).rejects.toThrow(/isn't an OCI image archive/);
  });
});

interface FakeRegistry {
  server: Server;
  host: string;
  blobs: Map<string, Buffer>;
  manifests: Map<string, Buffer>;
  uploads: number;
}

/** As much of the distribution protocol as a push uses, checking digests, with a token service. */
async function fakeRegistry(): Promise<FakeRegistry> {
  const state = { blobs: new Map<string, Buffer>(), manifests: new Map<string, Buffer>(), uploads: 0 };
  const server = createServer((request, response) => {
    void (async () => {
      const body = await buffer(request);
      const url = new URL(request.url ?? '', `http://${request.headers.host}`);
      const answer = (status: number, headers: Record<string, string> = {}, text = '') =>
        void response.writeHead(status, headers).end(text);
      if (url.pathname === '/token') {
        const wanted = `Basic ${Buffer.from('ann:secret').toString('base64')}`;
        const scope = url.searchParams.get('scope');
        if (request.headers.authorization !== wanted || scope !== 'repository:team/storj-node:pull,push') return answer(401);
        return answer(200, { 'content-type': 'application/json' }, JSON.stringify({ token: 'open sesame' }));
      }
      if (request.headers.authorization !== 'Bearer open sesame') {
        return answer(401, { 'www-authenticate': `Bearer realm="${url.origin}/token",service="fake"` });
      }
      const [, name = '', kind, reference = ''] = /^\/v2\/(.+?)\/(blobs|manifests)\/(.*)$/.exec(url.pathname) ?? [];
      if (request.method === 'HEAD') return answer(state.blobs.has(reference) ? 200 : 404);
      if (request.method === 'POST')
        return answer(202, { location: `/v2/${name}/blobs/uploads/${(state.uploads += 1)}?state=x` });
      if (kind === 'manifests') {
        state.manifests.set(`${name}:${reference}`, body);
        return answer(201);
      }
      const digest = url.searchParams.get('digest') ?? '';
      if (digest !== `sha256:${createHash('sha256').update(body).digest('hex')}` || url.searchParams.get('state') !== 'x')
        return answer(400);
      state.blobs.set(digest, body);
      return answer(201);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const host = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  return Object.assign(state, { server, host });
}
