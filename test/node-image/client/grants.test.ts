// A grant's text and nothing else: an empty machine finds the farm, lists, reads and writes. And everything
// that a grant doesn't allow.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_GRANT_MS } from '#node/core/grants.ts';
import { openBucket, writerKeys, type Access } from '#node/client/account.ts';
import type { Client } from '#node/client/client.ts';
import {
  connectGrant,
  handOnGrant,
  holderOf,
  issueGrant,
  openGrant,
  type GrantAllowance,
  type OpenedGrant,
} from '#node/client/grants.ts';
import { revokeGrants } from '#node/client/revoke-grants.ts';
import { putSegments } from '#node/client/segment-writer.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { openBucketLog, type WriterState } from '#node/log/log-writer.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { signRootStatement } from '#node/wire/root-view.ts';
import type { DeleteEntry, OwnerEntry } from '#node/wire/types.ts';
import { BUCKET, memoryState, NOTHING, putEntry, startLogWorld, within, type LogWorld } from '../log/support/log-world.ts';
import { testKey } from '#test/support/memory-farmer.ts';
import { chunked, readAll, seededBytes } from './support/test-farm.ts';

const [app, worker] = ['app', 'worker'].map(testKey) as [KeyPair, KeyPair];
const ALL: GrantAllowance = { verbs: ['read', 'list', 'write', 'delete', 'share'] };
const bytes = seededBytes(700_000, 3);
let world: LogWorld;
const clients: Client[] = [];

beforeEach(async () => {
  world = await startLogWorld({ farmers: 4 });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await world.stop();
});

const period = (forMs = 3_600_000) => ({ notBeforeMs: Date.now(), expiresMs: Date.now() + forMs });
async function issue(allow: GrantAllowance[], options: { to?: KeyPair; seed?: Uint8Array; forMs?: number } = {}) {
  const { to = app, seed } = options;
  const { view } = await fetchRoots(world.link(), world.access.owner, within());
  const order = {
    issuer: world.farm.bridge,
    access: world.access,
    view,
    farm: world.view.current(),
    bucketId: BUCKET,
    bucketName: 'photos',
    to: holderOf(to.seed),
    allow,
    ...period(options.forMs),
    ...(seed ? { seed } : {}),
  };
  return issueGrant(order, systemRuntime);
}
/** Nothing but the text and the key, over the holder's own connection. */
async function connect(text: string, key?: KeyPair) {
  const grant = openGrant(text, key?.seed);
  const network = world.farm.networkOf(grant.holder);
  const limits = { threads: 0, stallMs: 2000, hedgeMs: 100 };
  const client = await connectGrant(grant, { network, limits, signal: within() });
  clients.push(client);
  return { grant, client };
}
const content = ({ grant, client }: { grant: OpenedGrant; client: Client }) => openBucket(client, grant.access, BUCKET, within());
const keysOf = async (access: Access, client = world.client()) => {
  const bucket = await openBucket(client, access, BUCKET, within());
  return (await Array.fromAsync(bucket.list())).map(({ key }) => key);
};
async function write(
  { grant, client }: { grant: OpenedGrant; client: Client },
  entries: OwnerEntry[],
  state: WriterState = memoryState(),
  repair = NOTHING,
) {
  const { view } = await fetchRoots(client.link, grant.owner, within());
  const log = await openBucketLog({
    link: client.link,
    owner: grant.owner,
    bucketId: BUCKET,
    writer: grant.holder,
    kind: 'entries',
    keys: writerKeys(grant.access, view, BUCKET),
    state,
    patienceMs: 2000,
    signal: within(),
  });
  await log.append(entries, repair);
  await log.close();
  return log.head();
}
async function upload(client: Client, owner: string) {
  const { segments } = await putSegments(client, { owner, source: chunked(bytes), signal: within() });
  const { inline: _, ...large } = { ...putEntry('large'), sizeBytes: bytes.length, segments: segments.map(({ key }) => key) };
  return { large, repair: { added: segments.map(({ placement }) => placement), released: [] } };
}
/** The bridge's objects: `small`, `gone` (deleted) and `large`. */
async function fill() {
  const log = await world.open();
  const { large, repair } = await upload(world.client(), world.access.owner);
  const gone = putEntry('gone');
  await log.append([putEntry('small'), gone, large], repair);
  const removal: DeleteEntry = { kind: 'delete', key: 'gone', clock: { wallMs: 1, counter: 0 }, names: [gone.versionId] };
  await log.append([removal], NOTHING);
  await log.close();
}

describe('from the text of a grant alone', () => {
  it('an empty machine lists, gets and puts, with f farmers gone', async () => {
    await world.warrant();
    await fill();
    const text = await issue([ALL]);
    expect(text).toMatch(/^sj-grant\/1:[\w-]+$/);
    world.kill(world.name(2));
    const one = await connect(text, app);
    expect(one.grant).toMatchObject({ owner: world.access.owner, bucketId: BUCKET, bucketName: 'photos', prefix: '' });
    const found = await content(one);
    expect(await keysOf(one.grant.access, one.client)).toEqual(['large', 'small']);
    const read = found.read((await found.find('large'))!);
    expect(Buffer.compare(await readAll(read), bytes)).toBe(0);

    const { large, repair } = await upload(one.client, one.grant.owner);
    await write(one, [{ ...large, key: 'from the app' }], memoryState(), repair);
    expect(await keysOf(world.access)).toEqual(['from the app', 'large', 'small']);
    const seen = await openBucket(world.client(), world.access, BUCKET, within());
    const back = seen.read((await seen.find('from the app'))!);
    expect(Buffer.compare(await readAll(back), bytes)).toBe(0);
  });

  it('goes on where a farmer was started anew and has forgotten the grant', async () => {
    await fill();
    const one = await connect(await issue([ALL]), app);
    await content(one);
    for (let i = 0; i < 4; i++) await world.farm.restart(i);
    await expect.poll(async () => keysOf(one.grant.access, one.client).catch(() => []), { timeout: 10_000 }).toHaveLength(2);
  });

  it('is worth nothing without its holder’s key, unless the key is in it', async () => {
    await fill();
    const text = await issue([ALL]);
    expect(() => openGrant(text)).toThrow(expect.objectContaining({ code: 'Unreadable' }));
    expect(() => openGrant(text, worker.seed)).toThrow(expect.objectContaining({ code: 'Unreadable' }));
    // The keys leaked, the holder's own key didn't: a connection of one's own shows whose grant it isn't.
    const network = world.farm.networkOf(worker);
    const stolen = await connectGrant(openGrant(text, app.seed), { network, limits: { threads: 0 }, signal: within() });
    clients.push(stolen);
    await expect(keysOf(openGrant(text, app.seed).access, stolen)).rejects.toThrow('WrongHolder');
    const one = await connect(await issue([ALL], { seed: app.seed }));
    expect(await keysOf(one.grant.access, one.client)).toEqual(['large', 'small']);
  });

  it('that was damaged says so', async () => {
    const text = await issue([ALL]);
    for (const bad of [
      text.slice(0, -4),
      `${text}AAAA`,
      text.replace('sj-', 'sk-'),
      text.replace(/.$/, '!'),
      'sj-grant/1:',
      '',
    ]) {
      expect(() => openGrant(bad, app.seed)).toThrow(expect.objectContaining({ code: 'Unreadable' }));
    }
  });
});

describe('a grant', () => {
  it('opens its bucket only', async () => {
    const { grant, client } = await connect(await issue([ALL]), app);
    const other = openBucket(client, grant.access, '2'.repeat(32), within());
    await expect(other).rejects.toBeTruthy();
    const { view } = await fetchRoots(client.link, grant.owner, within());
    expect(() => writerKeys(grant.access, view, '2'.repeat(32))).toThrow(expect.objectContaining({ code: 'WrongBucket' }));
  });

  it('for reading writes nothing', async () => {
    await fill();
    const one = await connect(await issue([{ verbs: ['read', 'list'] }]), app);
    expect(await keysOf(one.grant.access, one.client)).toEqual(['large', 'small']);
    await expect(write(one, [putEntry('x')])).rejects.toMatchObject({ code: 'NotAllowed' });
    await expect(upload(one.client, one.grant.owner)).rejects.toBeTruthy();
  });

  it('with a prefix to write reads all and writes below it; what it writes elsewhere counts for nobody', async () => {
    await fill();
    const one = await connect(await issue([{ verbs: ['read', 'list'] }, { verbs: ['write'], prefix: 'inbox/' }]), app);
    expect(one.grant).toMatchObject({ verbs: ['read', 'list', 'write'], prefix: 'inbox/' });
    const small = (await (await content(one)).find('small'))!;
    const removal: DeleteEntry = { kind: 'delete', key: 'small', clock: { wallMs: 9e12, counter: 0 }, names: [small.versionId] };
    const overwrite = { ...putEntry('small'), clock: { wallMs: 9e12, counter: 0 }, replaces: [small.versionId] };
    await write(one, [putEntry('inbox/a'), putEntry('outside'), overwrite, removal]);
    expect(await keysOf(world.access)).toEqual(['inbox/a', 'large', 'small']);
    expect(await (await content(one)).find('small')).toEqual(small);
  });

  it('to write below a prefix and nothing else writes there, and reads nothing', async () => {
    await fill();
    const one = await connect(await issue([{ verbs: ['write'], prefix: 'inbox/' }]), app);
    await write(one, [putEntry('inbox/a'), putEntry('outside')]);
    expect(await keysOf(world.access)).toEqual(['inbox/a', 'large', 'small']);
    await expect(keysOf(one.grant.access, one.client)).rejects.toThrow('may not');
  });

  it('can not be narrowed to a prefix for reading, and says what to do', async () => {
    await expect(issue([{ verbs: ['read'], prefix: 'a/' }])).rejects.toThrow('Make a share');
  });

  it('that was renewed goes on in the same log', async () => {
    await fill();
    const state = memoryState();
    const first = await write(await connect(await issue([ALL]), app), [putEntry('one')], state);
    const second = await write(await connect(await issue([ALL]), app), [putEntry('two')], state);
    expect([second.logId, second.seq]).toEqual([first.logId, first.seq + 1]);
    const { view } = await fetchRoots(world.link(), world.access.owner, within());
    expect(view.logs.find(({ logId }) => logId === first.logId)!.grants).toHaveLength(2);
    expect(await keysOf(world.access)).toEqual(['large', 'one', 'small', 'two']);
  });

  it('is handed on in part, and no further than it reaches', async () => {
    await fill();
    const own = openGrant(await issue([ALL]), app.seed);
    const to = holderOf(worker.seed);
    const hand = (verbs: GrantAllowance['verbs'], from = own, forMs = 60_000) =>
      handOnGrant(from, { to, allow: [{ verbs }], ...period(forMs) }, systemRuntime);
    const one = await connect(hand(['list']), worker);
    expect(await keysOf(one.grant.access, one.client)).toEqual(['large', 'small']);
    await expect(write(one, [putEntry('x')])).rejects.toMatchObject({ code: 'NotAllowed' });
    expect(() => hand(['list'], one.grant)).toThrow(expect.objectContaining({ code: 'Wider' }));
    expect(() => hand(['list'], own, MAX_GRANT_MS)).toThrow(expect.objectContaining({ code: 'Wider' }));
  });

  it('is taken back by its holder’s key: what was acknowledged until then counts, and nothing that he opens later', async () => {
    await fill();
    const one = await connect(await issue([ALL]), app);
    const state = memoryState();
    await write(one, [putEntry('acknowledged')], state);
    const signer = world.farm.bridge;
    const order = { signer, owner: world.access.owner, bucketId: BUCKET, holder: app.publicKey, signal: within() };
    await revokeGrants(world.link(), order);
    await expect(write(one, [putEntry('late')], state)).rejects.toBeTruthy();
    await expect(write(one, [putEntry('later')])).rejects.toBeTruthy();
    expect(await keysOf(world.access)).toEqual(['acknowledged', 'large', 'small']);
    // What is granted to the same key afterwards is another grant.
    const again = await connect(await issue([ALL]), app);
    await write(again, [putEntry('again')]);
    expect(await keysOf(world.access)).toEqual(['acknowledged', 'again', 'large', 'small']);
  });

  it('that was taken back: its log counts up to where the revocation says, and its holder is out', async () => {
    await fill();
    const one = await connect(await issue([ALL]), app);
    const state = memoryState();
    const { logId } = await write(one, [putEntry('before')], state);
    await write(one, [putEntry('after')], state);
    const { statements: known } = await fetchRoots(world.link(), world.access.owner, within());
    const revocation = signRootStatement(world.farm.bridge, {
      kind: 'revocation',
      owner: world.access.owner,
      bucketId: BUCKET,
      revoked: app.publicKey,
      logs: [{ logId, lastSeq: 1 }],
      issuedMs: Date.now(),
    });
    const also = world.farm.farmers.map(({ keyPair }) => keyPair.publicKey);
    await publishRoots(world.link(), { owner: world.access.owner, statements: [revocation], known, also, signal: within() });
    expect(await keysOf(world.access)).toEqual(['before', 'large', 'small']);
    await expect(content(one)).rejects.toThrow('taken back');
    await expect(write(one, [putEntry('late')], state)).rejects.toBeTruthy();
    expect(await keysOf(world.access)).toEqual(['before', 'large', 'small']);
  });
});
