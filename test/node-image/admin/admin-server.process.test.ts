// The admin port over real TLS: open to read, closed to write but for the control key.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { adminWrite, startAdminServer, type AdminServer } from '#node/admin/admin-server.ts';
import { createFarmConfigStore, watchConfigFile, type FarmConfigStore } from '#node/admin/farm-config-store.ts';
import { createRegistry } from '#node/interface/process-metrics.ts';
import { keyPairFromSeed } from '#node/core/keys.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import { adminClient } from '#node/net/admin-client.ts';

const keyPair = (n: number) => keyPairFromSeed(new Uint8Array(32).fill(n));
const [control, own, stranger] = [keyPair(1), keyPair(2), keyPair(3)];
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const config = (generation: number): FarmConfig => ({
  farmUid: 'u',
  farmName: 'test',
  controlKey: control.publicKey,
  epoch: 1,
  generation,
  redundancy: { required: 1, repair: 1, optimal: 1, total: 1 },
  roster: [],
  bridges: [],
  repairers: [],
  lostAfterMs: 1000,
  repairBytesPerSecond: 0,
});

let server: AdminServer;
let store: FarmConfigStore;
let ready = true;
const taken: unknown[] = [];
beforeEach(async () => {
  store = createFarmConfigStore(control.publicKey);
  taken.length = 0;
  ready = true;
  server = await startAdminServer({
    keyPair: own,
    host: '127.0.0.1',
    port: 0,
    controlKey: control.publicKey,
    registry: createRegistry(),
    config: store,
    readiness: () => ({ ready, reason: 'the disk hangs' }),
    status: () => ({ role: 'test' }),
    writes: [
      adminWrite({
        method: 'post',
        path: '/admin/thing',
        schema: z.object({ size: z.int() }),
        handle: (body) => void taken.push(body),
      }),
    ],
    log: quiet,
  });
});
afterEach(async () => await server.close());

async function call(
  from: typeof control,
  method: 'GET' | 'PUT' | 'POST',
  path: string,
  body?: unknown,
  expected = own.publicKey,
): Promise<unknown> {
  const client = await adminClient(from);
  return await client.call({
    url: `https://127.0.0.1:${server.port}`,
    method,
    path,
    body,
    expect: expected,
    signal: AbortSignal.timeout(10_000),
  });
}

describe('the admin port', () => {
  it('applies a configuration from the control key, and answers with its generation', async () => {
    expect(await call(control, 'PUT', '/admin/config', config(3))).toMatchObject({ generation: 3, verdict: 'applied' });
    expect(store.current()?.generation).toBe(3);
  });

  it('refuses an older one with 409, a stranger with 403, nonsense with 400 and the field', async () => {
    await call(control, 'PUT', '/admin/config', config(3));
    await expect(call(control, 'PUT', '/admin/config', config(2))).rejects.toMatchObject({ status: 409 });
    await expect(call(stranger, 'PUT', '/admin/config', config(9))).rejects.toMatchObject({ status: 403 });
    await expect(call(control, 'PUT', '/admin/config', { ...config(9), lostAfterMs: 'soon' })).rejects.toThrow(
      /400.*lostAfterMs/s,
    );
    expect(store.current()?.generation).toBe(3);
  });

  it("gives a role's own writes the same door", async () => {
    await call(control, 'POST', '/admin/thing', { size: 3 });
    await expect(call(stranger, 'POST', '/admin/thing', { size: 4 })).rejects.toMatchObject({ status: 403 });
    await expect(call(control, 'POST', '/admin/thing', { size: 'x' })).rejects.toMatchObject({ status: 400 });
    expect(taken).toEqual([{ size: 3 }]);
  });

  it('is read by anybody, and says why it is not ready', async () => {
    expect(await call(stranger, 'GET', '/status')).toEqual({ role: 'test' });
    ready = false;
    await expect(call(stranger, 'GET', '/readyz')).rejects.toThrow(/503.*the disk hangs/);
    await expect(call(stranger, 'GET', '/nothing')).rejects.toMatchObject({ status: 404 });
  });

  it('is not believed when another identity answers', async () => {
    await expect(call(control, 'GET', '/status', undefined, stranger.publicKey)).rejects.toMatchObject({ code: 'Unreachable' });
  });
});

describe('the watched file', () => {
  it('is applied when it appears and when it changes; a broken one changes nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'storj-config-'));
    const file = join(folder, 'farm.json');
    const write = (text: string) => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    const stopping = new AbortController();
    const watching = watchConfigFile(file, store, quiet, stopping.signal);
    const generation = () => store.current()?.generation;
    write(JSON.stringify(config(5)));
    await expect.poll(generation, { timeout: 10_000 }).toBe(5);
    write('{"half":');
    write(JSON.stringify({ ...config(6), roster: 'none' }));
    write(JSON.stringify(config(7)));
    await expect.poll(generation, { timeout: 10_000 }).toBe(7);
    stopping.abort();
    await watching;
    rmSync(folder, { recursive: true });
  });
});
