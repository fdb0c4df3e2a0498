// What farmers refuse: a grant that has ended or was taken back, and with one that is good whatever it doesn't name.
import { holderOf, openGrant, type Holder } from '#node/client/grants.ts';
import { fetchRoots } from '#node/log/roots.ts';
import { CallError, type Call, type Network } from '#node/net/net.ts';
import { encodeCallHead } from '#node/wire/calls.ts';
import type { BucketId, Verb } from '#node/wire/types.ts';
import { insist } from './checks.ts';
import { appKey, LIMIT_MS, MAX_SKEW_MS, owners, withGrant, type Holding, type ShareHome } from './shares.ts';
import { simKey, Violation, type World } from './world.ts';

/** Farmers hear within five minutes of what was taken back; one whose first question is lost, in the next five. */
const TAKEN_BACK_MS = 11 * 60_000;

/** A grant that is good for one thing only is good for nothing else, at any honest farmer. */
export async function checkNarrow(world: World, share: ShareHome): Promise<void> {
  const { client, permissions, signal } = owners(world);
  const owner = world.owner.keyPair.publicKey;
  const reading = withGrant(world, share.grant, appKey());
  await refusedBy(world, reading, 'the heads of the whole bucket', headsOf(owner, share.bucketId));
  const { view } = await fetchRoots(client.link, owner, signal);
  const log = view.logs.find(({ bucketId }) => bucketId === share.shareId);
  if (log) await refusedBy(world, reading, 'to append to the share', appendTo(owner, share.shareId, log.logId));
  const clerk = simKey('clerk');
  const listing = await permissions.issue(grantOf(share, holderOf(clerk.seed), ['list']));
  await refusedBy(world, withGrant(world, listing, clerk), 'pieces, with a grant to list', pieceOf(owner));
  const stolen = withGrant(world, share.grant, appKey(), simKey('thief'));
  await refusedBy(world, stolen, 'the share, with a grant of somebody else', headsOf(owner, share.shareId));
}

/** In the end no honest farmer takes it any more: the grant has ended, or the share. */
export async function checkOver(world: World, share: ShareHome, tries: number): Promise<void> {
  const owner = world.owner.keyPair.publicKey;
  const { expiresMs } = openGrant(share.grant, appKey().seed);
  const waitMs = share.isEnded ? TAKEN_BACK_MS : Math.max(0, expiresMs + MAX_SKEW_MS - world.time.nowMs);
  await world.sleep(waitMs);
  const late = withGrant(world, share.grant, appKey());
  const what = `the share, ${share.isEnded ? 'which was ended' : 'with a grant that has ended'}`;
  await refusedBy(world, late, what, headsOf(owner, share.shareId), { all: tries });
  await refusedBy(world, late, `pieces of ${what}`, pieceOf(owner), { all: tries });
}

const grantOf = ({ shareId: bucketId }: ShareHome, to: Holder, verbs: readonly Verb[]) => ({
  bucketId,
  bucketName: 'shown',
  to,
  allow: [{ verbs }],
  forMs: LIMIT_MS,
});

const headsOf = (owner: string, bucketId: BucketId): Call => ({
  operation: 'log.heads',
  head: encodeCallHead('log.heads', { owner, bucketId }),
});
const pieceOf = (owner: string): Call => ({
  operation: 'piece.get',
  head: encodeCallHead('piece.get', { owner, pieceId: '00'.repeat(32), firstLeaf: 0, leafCount: 1 }),
});
const appendTo = (owner: string, bucketId: BucketId, logId: string): Call => ({
  operation: 'log.append',
  head: encodeCallHead('log.append', { owner, bucketId, logId, epoch: 0, firstSeq: 0 }),
  body: nothing(),
});

/** `all`: so often whoever doesn't answer is asked again; without, that says nothing. */
async function refusedBy(world: World, { network, silent, signal }: Holding, what: string, call: Call, { all = 0 } = {}) {
  for (const { keyPair, running, lie, name } of world.farmers.slice()) {
    if (!running || lie) continue;
    const to = { farmer: keyPair.publicKey, url: `memory://${keyPair.publicKey}` };
    const ask = async (by: Network) => {
      const code = await by.call(to, call, signal).then(
        () => 'ok',
        (error: unknown) => (error instanceof CallError ? error.code : 'Aborted'),
      );
      if (code === 'Forbidden') return;
      // Whoever may not is told nothing else: neither whether the piece is there nor how the log stands.
      if (['ok', 'WrongEpoch'].includes(code) || (code === 'NotFound' && call.operation === 'piece.get'))
        throw new Violation(`${name} gives ${what} (${code})`);
      throw new Error(`${name} answers ${code}`);
    };
    // Without being shown it again a farmer goes by what it remembers.
    for (const by of [silent, network]) {
      if (all > 0) await insist(world, all, `${name} says nothing of ${what}`, () => ask(by));
      else await ask(by).catch(onlyViolation);
    }
  }
}

function onlyViolation(error: unknown): void {
  if (error instanceof Violation) throw error;
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
