// The library on real farmers: no bridge runs anywhere here.
import { afterEach, describe, expect, it } from 'vitest';
import { passingState } from '#node/device/device-state.ts';
import type { Bucket, ListItem } from '#node/device/bucket.ts';
import type { Storj } from '#node/device/storj.ts';
import { writerKeys } from '#node/client/account.ts';
import { createClient } from '#node/client/client.ts';
import { openGrant } from '#node/client/grants.ts';
import { rootQuorums } from '#node/core/rendezvous.ts';
import { askText, handOn, holderText, parseAsk, parseHolder, permissionsOf } from '#node/device/permissions.ts';
import { getStatements } from '#node/log/log-calls.ts';
import { openBucketLog } from '#node/log/log-writer.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { CallError, type Network } from '#node/net/net.ts';
import type { Verb } from '#node/wire/types.ts';
import { testKey } from '#test/support/memory-farmer.ts';
import { chunked, readAll, seededBytes } from '../client/support/test-farm.ts';
import { within } from '../log/support/log-world.ts';
import { startDeviceWorld, type DeviceWorld } from './device-world.ts';

let world: DeviceWorld;
afterEach(() => world.stop());

const SEGMENT_BYTES = 1024 * 65_520;
const text = (value: string) => new TextEncoder().encode(value);
const read = async (bucket: Bucket, key: string, range = {}) => Buffer.from(await readAll((await bucket.get(key, range)).body));
const keys = async (bucket: Bucket, options = {}) => {
  const found: string[] = [];
  for await (const item of bucket.list(options)) found.push(nameOf(item));
  return found;
};
const nameOf = (item: ListItem) => (item.kind === 'prefix' ? item.prefix : item.object.key);
const again = (bytes: Uint8Array) => ({
  sizeBytes: bytes.length,
  read: (offset: number, length: number) => chunked(bytes.subarray(offset, offset + length), 4_000_001),
});

describe('a device', () => {
  it('puts, gets, lists, copies, moves and removes, and another one sees it', async () => {
    world = await startDeviceWorld();
    const one = world.device();
    const bucket = await one.createBucket('photos');
    const large = seededBytes(400_000, 1);
    const info = await bucket.put('a/large', large, { headers: { 'content-type': 'image/png' } });
    expect(info).toMatchObject({ key: 'a/large', sizeBytes: 400_000, headers: { 'content-type': 'image/png' } });
    await bucket.put('a/small', text('one'));
    await bucket.put('a/small', text('two'));
    await bucket.put('b', text(''));
    await bucket.copy('a/large', { key: 'c' });
    await bucket.move('a/small', { key: 'd' });
    expect(await bucket.remove('a/large')).toBe(true);
    expect(await bucket.remove('a/large')).toBe(false);
    const other = await world.device().bucket('photos');
    expect(await keys(other)).toEqual(['b', 'c', 'd']);
    expect(await read(other, 'd')).toEqual(Buffer.from('two'));
    expect(await read(other, 'b')).toEqual(Buffer.from(''));
    expect((await read(other, 'c')).equals(large)).toBe(true);
    expect(await read(other, 'c', { offset: 65_500, length: 40 })).toEqual(Buffer.from(large.subarray(65_500, 65_540)));
    await other.put('dir/1', text('1'));
    expect(await keys(bucket, { delimiter: '/' })).toEqual(['b', 'c', 'd', 'dir/']);
    expect(await keys(bucket, { prefix: 'dir/' })).toEqual(['dir/1']);
  });

  it('says what is missing and what may not be', async () => {
    world = await startDeviceWorld();
    const owner = world.device();
    const bucket = await owner.createBucket('photos');
    await expect(bucket.get('x')).rejects.toMatchObject({
      code: 'NoSuchKey',
      message: 'There is no object "x" in bucket photos.',
    });
    await expect(owner.bucket('other')).rejects.toMatchObject({ code: 'NoSuchBucket' });
    await expect(owner.createBucket('photos')).rejects.toMatchObject({ code: 'AlreadyExists' });
    await bucket.put('x', text('1'));
    await expect(bucket.get('x', { offset: 2 })).rejects.toMatchObject({ code: 'BadRange' });
    await expect(owner.removeBucket('photos')).rejects.toMatchObject({ code: 'AlreadyExists' });
    await bucket.remove('x');
    await owner.removeBucket('photos');
    expect(await owner.buckets()).toEqual([]);
    await world.admitDevice(testKey('phone'));
    const phone = world.device({ writer: testKey('phone') });
    await expect(phone.createBucket('more')).rejects.toMatchObject({ code: 'NotAllowed' });
  });

  it('goes on reading and writing with f farmers gone', async () => {
    world = await startDeviceWorld(6);
    const bucket = await world.device().createBucket('photos');
    await bucket.put('before', seededBytes(300_000, 2));
    for (const i of [0, 3]) world.kill(world.name(i));
    const other = await world.device().bucket('photos');
    await other.put('after', seededBytes(300_000, 3));
    await other.put('small', text('s'));
    expect((await read(bucket, 'before')).equals(seededBytes(300_000, 2))).toBe(true);
    expect((await read(bucket, 'after')).equals(seededBytes(300_000, 3))).toBe(true);
    expect(await read(bucket, 'small')).toEqual(Buffer.from('s'));
  });

  it('ends in peace where too few farmers are left to end its log', async () => {
    world = await startDeviceWorld(6);
    const device = world.device();
    await (await device.createBucket('photos')).put('small', text('s'));
    for (const i of [0, 1, 2, 3, 4]) world.kill(world.name(i));
    await device.close();
  });

  it('with its state goes on with its log; without it ends that one and begins another', async () => {
    world = await startDeviceWorld();
    await world.device().createBucket('photos');
    const phone = testKey('phone');
    await world.admitDevice(phone);
    const { saved } = passingState();
    const life = async (state: object, key: string) => {
      const storj = world.device({ writer: phone, state: { isPassing: false, ...state } });
      await (await storj.bucket('photos')).put(key, text(key));
      await storj.close();
    };
    const logs = async () => {
      const { view } = await fetchRoots(world.link(), world.access.owner, within());
      return view.logs.filter(({ writer }) => writer === phone.publicKey).map(({ closed }) => closed?.lastSeq ?? 'open');
    };
    await life({ saved }, 'first');
    await life({ saved }, 'second');
    expect(await logs()).toEqual(['open']);
    await life({}, 'third');
    expect((await logs()).sort()).toEqual([2, 'open']);
    expect(await keys(await world.device().bucket('photos'))).toEqual(['first', 'second', 'third']);
  });

  it('that leaves nothing behind closes its logs', async () => {
    world = await startDeviceWorld();
    const storj = world.device();
    await (await storj.createBucket('photos')).put('x', text('1'));
    await storj.close();
    const { view } = await fetchRoots(world.link(), world.access.owner, within());
    expect(view.logs.map(({ closed }) => closed?.lastSeq)).toEqual([1, 1]);
  });

  it('writes beside a bridge: neither ends the other’s log', async () => {
    world = await startDeviceWorld();
    await world.device().createBucket('photos');
    const storj = world.device();
    const bucket = await storj.bucket('photos');
    await bucket.put('x', text('1'));
    const { view } = await fetchRoots(world.link(), world.access.owner, within());
    const device = view.logs.findLast(({ bucketId }) => bucketId === bucket.bucketId)!;
    const state = { load: async () => null, save: async () => {} };
    const log = await openBucketLog({
      link: world.link(),
      owner: world.access.owner,
      bucketId: bucket.bucketId,
      writer: world.farm.bridge,
      kind: 'entries',
      keys: writerKeys(world.access, view, bucket.bucketId),
      state,
      signal: within(),
    });
    await bucket.put('y', text('2'));
    const now = (await fetchRoots(world.link(), world.access.owner, within())).view;
    expect(now.logs.find(({ logId }) => logId === device.logId)?.closed).toBeUndefined();
    expect(now.logs.find(({ logId }) => logId === log.logId)).toBeDefined();
    await log.close();
  });
});

describe('a bucket of which more was acknowledged than the farmers have', () => {
  it('is told with what is known to be lost, and counts from here on once the words accept it', async () => {
    world = await startDeviceWorld();
    const owner = world.device();
    const bucket = await owner.createBucket('photos');
    await bucket.put('kept', text('1'));
    const phone = testKey('phone');
    await world.admitDevice(phone);
    const { view } = await fetchRoots(world.link(), world.access.owner, within());
    const { logId } = view.logs.find(({ bucketId }) => bucketId === bucket.bucketId)!;
    const left = async () => {
      const [account, photos] = (await owner.resets.left()).toSorted((a, b) => Number(a.name !== null) - Number(b.name !== null));
      expect([account!.name, photos!.name]).toEqual([null, 'photos']);
      const lost = photos!.logs.map((log) => [log.logId === logId ? 'own' : 'phone', log.seq, log.lostBatches]);
      return lost.sort((a, b) => (a[0]! < b[0]! ? -1 : 1));
    };
    expect(await left()).toEqual([['own', 1, 0]]);

    // Somebody saw eight more of them before the farmers were set back.
    const log = await openBucketLog({
      link: world.link(phone),
      owner: world.access.owner,
      bucketId: bucket.bucketId,
      writer: phone,
      kind: 'entries',
      keys: writerKeys(world.access, view, bucket.bucketId),
      state: { load: async () => null, save: async () => {} },
      knownHeads: () => [{ logId, seq: 9, hash: 'f'.repeat(64) }],
      signal: within(),
    });
    await log.append([], { added: [], released: [] });
    await log.close();
    const lossy = [
      ['own', 1, 8],
      ['phone', 1, 0],
    ];
    expect(await left()).toEqual(lossy);
    const device = world.device({ writer: phone });
    await expect(device.resets.accept(bucket.bucketId)).rejects.toMatchObject({ code: 'NotAllowed' });
    expect(await left()).toEqual(lossy);

    await owner.resets.accept(bucket.bucketId);
    expect(await left()).toEqual([
      ['own', 1, 0],
      ['phone', 1, 0],
    ]);
    await bucket.put('new', text('2'));
    expect(await keys(await world.device().bucket('photos'))).toEqual(['kept', 'new']);
  });
});

describe('by a grant', () => {
  const seed = testKey('app').seed;
  const grantOf = async (owner: Storj, allow: { verbs: Verb[]; prefix?: string }[]) => {
    const { bucketId } = await owner.bucket('photos');
    const to = parseHolder(holderText(seed));
    return await owner.permissions.issue({ bucketId, bucketName: 'photos', to, allow, forMs: 60_000, seed });
  };

  it('its bucket is there and nothing else, and what it allows goes on', async () => {
    world = await startDeviceWorld();
    const owner = world.device();
    await owner.createBucket('private');
    const bucket = await owner.createBucket('photos');
    await bucket.put('in/1', text('1'));
    const app = world.granted(await grantOf(owner, [{ verbs: ['read', 'list'] }, { verbs: ['write'], prefix: 'in/' }]));
    expect(await app.buckets()).toEqual([{ name: 'photos', createdMs: 0 }]);
    await expect(app.bucket('private')).rejects.toMatchObject({ code: 'NoSuchBucket' });
    const theirs = await app.bucket('photos');
    expect(await read(theirs, 'in/1')).toEqual(Buffer.from('1'));
    await theirs.put('in/1', text('one'));
    await theirs.put('in/2', seededBytes(100_000, 2));
    await expect(theirs.put('out', text('x'))).rejects.toMatchObject({ code: 'NotAllowed' });
    await expect(theirs.remove('in/1')).rejects.toMatchObject({ code: 'NotAllowed' });
    await expect(app.createBucket('more')).rejects.toMatchObject({ code: 'NotAllowed' });
    expect(await keys(bucket)).toEqual(['in/1', 'in/2']);
    expect(await read(bucket, 'in/1')).toEqual(Buffer.from('one'));
  });
});

describe('a grant handed on by its holder', () => {
  it('allows a part of what his does, no longer than his, and nothing where he may not share', async () => {
    world = await startDeviceWorld();
    const owner = world.device();
    const bucket = await owner.createBucket('photos');
    await bucket.put('a', text('1'));
    const [seed, theirs] = [testKey('app').seed, testKey('worker').seed];
    const holder = { bucketId: bucket.bucketId, bucketName: 'photos', to: parseHolder(holderText(seed)), forMs: 60_000 };
    const grant = await owner.permissions.issue({ ...holder, allow: [{ verbs: ['read', 'list', 'write', 'share'] }] });
    const to = parseHolder(holderText(theirs));
    const part = handOn({ grant, holderSeed: seed, to, allow: [{ verbs: ['read', 'list'] }], forMs: 3_600_000, seed: theirs });
    const worker = await world.granted(part).bucket('photos');
    expect(await read(worker, 'a')).toEqual(Buffer.from('1'));
    await expect(worker.put('b', text('2'))).rejects.toMatchObject({ code: 'NotAllowed' });
    expect(openGrant(part).expiresMs).toBe(openGrant(grant, seed).expiresMs);
    const more = { holderSeed: seed, to, allow: [{ verbs: ['delete'] as const }], forMs: 1000 };
    expect(() => handOn({ ...more, grant })).toThrow(expect.objectContaining({ code: 'NotAllowed' }));
    expect(() => handOn({ ...more, grant: part, holderSeed: theirs, allow: [{ verbs: ['read'] }] })).toThrow(
      'without the verb share',
    );
    // With his goes what came of it.
    await owner.permissions.revoke({ text: grant });
    await expect(read(await world.granted(part).bucket('photos'), 'a')).rejects.toMatchObject({ code: 'NotAllowed' });
  });
});

describe('a grant to write and not to read', () => {
  it.each(['', 'in/'])('below "%s" fills the bucket, and shows its holder nothing', async (prefix) => {
    world = await startDeviceWorld();
    const owner = world.device();
    const bucket = await owner.createBucket('photos');
    await bucket.put('in/old', text('owner'));
    const { seed } = testKey('app');
    const allow = [{ verbs: ['write', 'delete'] as const, prefix }];
    const order = {
      bucketId: bucket.bucketId,
      bucketName: 'photos',
      to: parseHolder(holderText(seed)),
      allow,
      forMs: 60_000,
      seed,
    };
    const grant = await owner.permissions.issue(order);
    for (const [round, body] of [text('1'), new Uint8Array(200_000).fill(7)].entries()) {
      const app = world.granted(grant);
      const theirs = await app.bucket('photos');
      await theirs.put('in/new', text('0'));
      await theirs.put('in/new', body);
      await theirs.put('in/old', text(`app ${round}`));
      expect(await read(bucket, 'in/new')).toEqual(Buffer.from(body));
      expect(await read(bucket, 'in/old')).toEqual(Buffer.from(`app ${round}`));
      expect(await theirs.remove('in/new')).toBe(true);
      await theirs.put('in/new', text('last'));
      await expect(theirs.get('in/old')).rejects.toMatchObject({ code: 'NotAllowed' });
      await expect(keys(theirs)).rejects.toMatchObject({ code: 'NotAllowed' });
      await expect(theirs.remove('in/nothing')).rejects.toMatchObject({ message: expect.stringContaining('to list') as string });
      await app.close();
    }
    expect(await keys(bucket)).toEqual(['in/new', 'in/old']);
    expect(await bucket.remove('in/old')).toBe(true);
    expect(await keys(bucket)).toEqual(['in/new']);
  });
});

describe('permissions', () => {
  it('are taken back: what was written stays, and nothing more comes', async () => {
    world = await startDeviceWorld();
    const owner = world.device();
    const bucket = await owner.createBucket('photos');
    const { permissions } = owner;
    const { publicKey } = testKey('app');
    const to = parseHolder(holderText(testKey('app').seed));
    const allow = [{ verbs: ['read', 'list', 'write'] as const }];
    const order = { bucketId: bucket.bucketId, bucketName: 'photos', to, allow, forMs: 60_000, seed: testKey('app').seed };
    const grant = await permissions.issue(order);
    const theirs = await world.granted(grant).bucket('photos');
    await theirs.put('before', text('1'));
    await expect(theirs.get('nothing')).rejects.toMatchObject({ code: 'NoSuchKey' });
    expect((await permissions.given()).writers).toMatchObject([{ holder: publicKey, bucketId: bucket.bucketId }]);
    expect(await permissions.revoke({ text: grant })).toBe(publicKey);
    expect((await permissions.given()).revoked).toMatchObject([{ revoked: publicKey, bucketId: bucket.bucketId }]);
    // Who writes already hears it from the log, who reads from the heads, and who comes anew before anything else.
    const refused = { code: 'NotAllowed', message: expect.stringContaining('taken back') as string };
    await expect(theirs.put('after', text('2'), { asKnown: true })).rejects.toMatchObject(refused);
    await expect(theirs.put('after', text('2'))).rejects.toMatchObject(refused);
    const anew = await world.granted(grant).bucket('photos');
    await expect(anew.get('before')).rejects.toMatchObject(refused);
    await expect(anew.put('after', text('2'))).rejects.toMatchObject(refused);
    expect(await keys(await world.device().bucket('photos'))).toEqual(['before']);
    // A grant of a later day is another one.
    await expect.poll(async () => keys(await world.granted(await permissions.issue(order)).bucket('photos'))).toEqual(['before']);
  });

  it('show an app what lies below a prefix, fed by the words where there is no bridge', async () => {
    world = await startDeviceWorld();
    const owner = world.device();
    const bucket = await owner.createBucket('photos');
    await bucket.put('2026/a', text('a'));
    await bucket.put('private', text('secret'));
    const seed = testKey('app').seed;
    const to = parseHolder(holderText(seed));
    const made = await owner.permissions.share({
      bucketId: bucket.bucketId,
      name: 'holiday',
      prefix: '2026/',
      to,
      forMs: 60_000,
      seed,
    });
    expect(await owner.feedShares()).toMatchObject([{ shareId: made.shareId }]);
    const shown = await world.granted(made.grant).bucket('holiday');
    expect(await keys(shown)).toEqual(['2026/a']);
    await bucket.put('2026/b', text('b'));
    await bucket.remove('2026/a');
    await owner.feedShares();
    expect(await keys(shown)).toEqual(['2026/b']);
    const renewed = await owner.permissions.renewShare({ shareId: made.shareId, forMs: 3_600_000 });
    expect(openGrant(renewed, seed).expiresMs).toBeGreaterThan(openGrant(made.grant).expiresMs);
    expect(await keys(await world.granted(renewed, seed).bucket('holiday'))).toEqual(['2026/b']);
    await owner.permissions.endShare(made.shareId);
    const order = { shareId: made.shareId, forMs: 60_000 };
    await expect(owner.permissions.renewShare(order)).rejects.toMatchObject({ code: 'NoSuchKey' });
    expect(await owner.feedShares()).toEqual([]);
    await expect(keys(await world.granted(made.grant).bucket('holiday'))).rejects.toThrow();
  });

  it('answer what an app asks for: a share to read below a prefix, a grant to write there', async () => {
    world = await startDeviceWorld();
    const owner = world.device();
    const bucket = await owner.createBucket('photos');
    await bucket.put('2026/a', text('a'));
    await bucket.put('private', text('secret'));
    const seed = testKey('app').seed;
    const wish = { name: 'book', bucketName: 'photos', prefix: '2026/', budgetBytes: null, forMs: 60_000 };
    const answer = async (verbs: ('read' | 'list' | 'write' | 'share')[], prefix = '2026/') => {
      const ask = parseAsk(askText(seed, { ...wish, verbs, prefix }));
      expect(ask).toMatchObject({ audience: testKey('app').publicKey, name: 'book', verbs, prefix });
      return await owner.permissions.approve({ ask, bucketId: bucket.bucketId });
    };
    const { share, grant } = await answer(['read', 'list', 'write']);
    await owner.feedShares();
    expect(await keys(await world.granted(share!.grant, seed).bucket('photos'))).toEqual(['2026/a']);
    expect(openGrant(grant!, seed)).toMatchObject({ verbs: ['write'], prefix: '2026/' });
    const whole = await answer(['read', 'share'], '');
    expect([whole.share, openGrant(whole.grant!, seed).verbs]).toEqual([null, ['read', 'share']]);
    expect(() => parseAsk('sj-ask/1:AAAA')).toThrow(expect.objectContaining({ code: 'BadAddress' }));
  });

  it('end a share in the second try, where the first has reached too few farmers', async () => {
    world = await startDeviceWorld();
    const storj = world.device();
    const { bucketId } = await storj.createBucket('photos');
    const to = parseHolder(holderText(testKey('app').seed));
    const { shareId } = await storj.permissions.share({ bucketId, name: 'holiday', prefix: '', to, forMs: 60_000 });
    const { access, owner } = world;
    const [reached] = world.link().farmers();
    const whole = world.farm.networkOf(owner.keyPair);
    const network: Network = {
      self: whole.self,
      close: () => whole.close(),
      call: async (farmer, call, signal) => {
        if (call.operation === 'roots.put' && farmer.farmer !== reached!.farmer) throw new CallError('Unreachable', 'Not now.');
        return await whole.call(farmer, call, signal);
      },
    };
    const client = createClient({ network, farm: world.view, limits: { threads: 0 } });
    const lame = permissionsOf({ client, access, signer: owner.keyPair, limit: () => within() });
    await expect(lame.endShare(shareId)).rejects.toMatchObject({ code: 'NotEnoughRoots' });
    await storj.permissions.endShare(shareId);
    const hasEnd = async (farmer: string) => {
      const { statements } = await getStatements(client.link, client.link.addressOf(farmer)!, access.owner, within());
      return statements.some(({ body }) => body.kind === 'revocation' && body.bucketId === shareId);
    };
    const told = await Promise.all(client.link.farmers().map(({ farmer }) => hasEnd(farmer)));
    expect(told.filter((has) => has).length).toBeGreaterThanOrEqual(rootQuorums(4, client.link.promise()).write);
    await client.close();
  });

  it('are given by the words alone, for a holder that is one', async () => {
    world = await startDeviceWorld(1);
    const owner = world.device();
    const { bucketId } = await owner.createBucket('photos');
    const made = await owner.permissions.share({
      bucketId,
      name: 'holiday',
      prefix: '2026/',
      to: parseHolder(holderText(testKey('app').seed)),
      forMs: 60_000,
    });
    expect(made.grant).toMatch(/^sj-grant\/1:/);
    expect(await owner.permissions.shares()).toMatchObject([{ shareId: made.shareId, name: 'holiday', prefix: '2026/' }]);
    await owner.permissions.endShare(made.shareId);
    expect(await owner.permissions.shares()).toEqual([]);
    await owner.permissions.endShare(made.shareId);
    await expect(owner.permissions.endShare('00'.repeat(16))).rejects.toMatchObject({ code: 'NoSuchKey' });
    await world.admitDevice(testKey('phone'));
    const phone = world.device({ writer: testKey('phone') });
    const holder = testKey('app').publicKey;
    await expect(phone.permissions.revoke({ bucketId, holder })).rejects.toMatchObject({ code: 'NotAllowed' });
    expect(() => parseHolder('nobody')).toThrow(expect.objectContaining({ code: 'BadAddress' }));
  });
});

describe('a listing', () => {
  it('jumps over what lies behind a prefix', async () => {
    world = await startDeviceWorld(1);
    const bucket = await world.device().createBucket('photos');
    const many = Array.from({ length: 250 }, (_, i) => `dir/${i}`);
    await Promise.all([...many, 'a', 'dis', 'e/1'].map((key) => bucket.put(key, text(key), { asKnown: true })));
    const fresh = await world.device().bucket('photos');
    expect(await keys(fresh, { delimiter: '/' })).toEqual(['a', 'dir/', 'dis', 'e/']);
    expect(await keys(fresh, { prefix: 'dir/', delimiter: '/' })).toEqual(many.toSorted());
    expect(await keys(fresh, { after: 'dir/', prefix: 'e' })).toEqual(['e/1']);
  });
});

describe('a large object', () => {
  const bytes = seededBytes(SEGMENT_BYTES + 3_000_000, 5);
  const whole = async (storj: Storj) => (await read(await storj.bucket('photos'), 'large')).equals(bytes);

  it('goes up in parts; broken off, the parts that were stored are not read into the farm again', async () => {
    world = await startDeviceWorld(1);
    const storj = world.device();
    const bucket = await storj.createBucket('photos');
    const broken = again(bytes);
    const count = (wanted: string) => world.calls.filter(({ operation }) => operation === wanted).length;
    const failing = {
      ...broken,
      async *read(offset: number, length: number) {
        if (offset > 0) throw new Error('the cable was pulled');
        yield* broken.read(offset, length);
      },
    };
    await expect(bucket.put('large', failing, { resumeAs: 'file' })).rejects.toThrow('the cable was pulled');
    const before = count('piece.put');
    const progress: number[] = [];
    await bucket.put('large', again(bytes), { resumeAs: 'file', onProgress: (done) => progress.push(done) });
    expect(count('piece.put') - before).toBe(1);
    expect(progress.at(-1)).toBe(bytes.length);
    expect(await whole(world.device())).toBe(true);
  });
});
