import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { serialize } from 'node:v8';
import { createSavedLogs } from '#node/bridge/saved-logs.ts';
import { hkdf } from '#node/core/hkdf.ts';
import { NONCE_BYTES, seal } from '#node/core/sealing.ts';

const root = mkdtempSync(join(tmpdir(), 'saved-logs-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const random = (bytes: number) => new Uint8Array(randomBytes(bytes));
const secret = new Uint8Array(32).fill(5);
const OWNER = 'aa'.repeat(32);
const BUCKET = 'bb'.repeat(16);
const saved = (seq: number, pending: Uint8Array | null = null) => ({
  seed: new Uint8Array(32).fill(1),
  seq,
  hash: 'cc'.repeat(32),
  pending,
});
const at = (name: string, with_ = secret) => createSavedLogs({ folder: join(root, name), secret: with_, random });

describe('saved logs', () => {
  it('give the newest state back, to another process too', async () => {
    const first = at('plain');
    const state = first.of(OWNER, BUCKET);
    expect(await state.load()).toBeNull();
    for (let seq = 1; seq <= 5; seq++) await state.save(saved(seq, new Uint8Array(seq * 1000)));
    await first.close();
    const again = at('plain');
    const loaded = await again.of(OWNER, BUCKET).load();
    expect([loaded?.seq, loaded?.pending?.length, [...(loaded?.seed ?? [])]]).toEqual([5, 5000, [...new Uint8Array(32).fill(1)]]);
    const other = again.of(OWNER, 'dd'.repeat(16));
    expect(await other.load()).toBeNull();
    await again.close();
  });

  it('go on counting after a restart', async () => {
    for (let seq = 1; seq <= 4; seq++) {
      const logs = at('count');
      const state = logs.of(OWNER, BUCKET);
      expect((await state.load())?.seq ?? 0).toBe(seq - 1);
      await state.save(saved(seq));
      await logs.close();
    }
  });

  it('fall back to the state before where the newest write was torn', async () => {
    const logs = at('torn');
    const state = logs.of(OWNER, BUCKET);
    await state.save(saved(1));
    await state.save(saved(2));
    await state.save(saved(3, new Uint8Array(5000)));
    await logs.close();
    const [name = ''] = readdirSync(join(root, 'torn'));
    const path = join(root, 'torn', name);
    truncateSync(path, readFileSync(path).length - 2000);
    const again = at('torn');
    expect((await again.of(OWNER, BUCKET).load())?.seq).toBe(2);
    await again.close();
  });

  it('give a pending batch back byte for byte, and never one of which a byte was changed', async () => {
    const pending = random(300_000);
    const logs = at('pending');
    const state = logs.of(OWNER, BUCKET);
    await state.save(saved(1));
    await state.save(saved(2, pending));
    await logs.close();
    const again = at('pending');
    expect((await again.of(OWNER, BUCKET).load())?.pending).toEqual(pending);
    await again.close();
    const path = join(root, 'pending', readdirSync(join(root, 'pending'))[0]!);
    const bytes = readFileSync(path);
    bytes[bytes.indexOf(pending) + 200_000]! ^= 1;
    writeFileSync(path, bytes);
    const changed = at('pending');
    expect(await changed.of(OWNER, BUCKET).load()).toMatchObject({ seq: 1, pending: null });
    await changed.close();
  });

  it('are as good as none where another version of this code wrote them', async () => {
    const logs = at('older');
    await logs.of(OWNER, BUCKET).load();
    await logs.close();
    const [name = ''] = readdirSync(join(root, 'older'));
    // Its slots were bound to name and number alone, with the whole state in the sealed part.
    const nonce = random(NONCE_BYTES);
    const key = hkdf(secret, 'storj/1 bridge saved logs', 32);
    const sealed = seal(key, nonce, serialize(saved(7)), Buffer.from(`${OWNER}-${BUCKET} 2`));
    const header = Buffer.alloc(16);
    header.writeBigUInt64BE(2n, 0);
    header.writeUInt32BE(sealed.length, 8);
    writeFileSync(join(root, 'older', name), Buffer.concat([header, nonce, sealed]));
    const now = at('older');
    expect(await now.of(OWNER, BUCKET).load()).toBeNull();
    await now.close();
  });

  it('can be neither read nor moved by who steals them', async () => {
    const logs = at('stolen');
    await logs.of(OWNER, BUCKET).save(saved(1));
    await logs.close();
    const [name = ''] = readdirSync(join(root, 'stolen'));
    const bytes = readFileSync(join(root, 'stolen', name));
    expect(bytes.includes(Buffer.alloc(32, 1))).toBe(false);
    const foreign = at('stolen', new Uint8Array(32).fill(6));
    expect(await foreign.of(OWNER, BUCKET).load()).toBeNull();
    await foreign.close();
    writeFileSync(join(root, 'stolen', `${OWNER}-${'ee'.repeat(16)}`), bytes);
    const moved = at('stolen');
    expect(await moved.of(OWNER, 'ee'.repeat(16)).load()).toBeNull();
    await moved.close();
  });
});
