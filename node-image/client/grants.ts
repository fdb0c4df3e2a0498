// Grants as people pass them on. Who keeps a bucket issues them; who holds one opens it, hands on a part of it,
// and reaches the bucket with nothing else: the text names the farm and some of its farmers.
import { bucketRepairKey, boxPublicKey, bucketSecret, keyPairFromSeed, openSealed, repairKey, sealTo } from '#node/core/keys.ts';
import { chainRights, GrantError, type GrantRights } from '#node/core/grants.ts';
import type { KeyPair } from '#node/core/keys.ts';
import { OpenError } from '#node/core/sealing.ts';
import type { Runtime } from '#node/log/runtime.ts';
import { CallError, type FarmerAddress, type Network } from '#node/net/net.ts';
import { WireError } from '#node/wire/codec.ts';
import {
  decodeGrantKeys,
  decodeGrantText,
  encodeGrantKeys,
  encodeGrantText,
  MAX_CHAINS,
  MAX_GRANT_FARMERS,
  type GrantKeys,
} from '#node/wire/grant-text.ts';
import { decodeGrantChain, encodeGrantChain, extendGrant, grantLink, type GrantChain } from '#node/wire/grants.ts';
import type { RootView } from '#node/wire/root-view.ts';
import type { BucketId, PublicKey, Verb } from '#node/wire/types.ts';
import { connectFarm, repairEpochs, type AccountAccess, type GrantAccess } from './account.ts';
import { createClient, type Client, type ClientLimits } from './client.ts';
import { settableFarmView, type FarmSnapshot } from './farm-view.ts';
import { grantNetwork } from './grant-network.ts';

/** Who is to hold a grant: an Ed25519 key and the box key of the same seed. */
export interface Holder {
  publicKey: PublicKey;
  box: string;
}
/** One thing that is allowed. Reading is allowed on the whole bucket or not at all; below a prefix make a share. */
export interface GrantAllowance {
  verbs: readonly Verb[];
  /** Of keys that may be written and deleted. */
  prefix?: string;
  budgetBytes?: number | null;
}
export interface GrantPeriod {
  notBeforeMs: number;
  /** At most 30 days later. */
  expiresMs: number;
}

export function holderOf(seed: Uint8Array): Holder {
  return { publicKey: keyPairFromSeed(seed).publicKey, box: boxPublicKey(seed) };
}

/**
 * The text of a new grant on one bucket or share, `sj-grant/1:…`. `issuer`: the owner, or a keeper of the bucket.
 * With `seed` (the holder's) whoever reads the text has the access: for Secrets. Throws GrantError.
 */
export function issueGrant(
  order: GrantPeriod & {
    issuer: KeyPair;
    access: AccountAccess;
    view: RootView;
    farm: FarmSnapshot;
    bucketId: BucketId;
    bucketName: string;
    to: Holder;
    allow: readonly GrantAllowance[];
    seed?: Uint8Array;
  },
  runtime: Pick<Runtime, 'random'>,
): string {
  const { access, view, bucketId, bucketName, farm, issuer } = order;
  const keys: GrantKeys = {
    bucketName,
    bucketSecret: bucketSecret(access.accountSecret, bucketId),
    repairKeys: repairEpochs(view).map((epoch) => ({
      epoch,
      key: bucketRepairKey(repairKey(access.accountSecret, epoch), bucketId),
    })),
  };
  const parent = { owner: access.owner, bucketId, chains: [[]], issuer };
  return grantText({ ...order, ...parent, keys, farm: farm.controlKey, farmers: someFarmers(farm, view, bucketId) }, runtime);
}

/** A grant as its holder has it. */
export interface OpenedGrant {
  owner: PublicKey;
  bucketId: BucketId;
  bucketName: string;
  holder: KeyPair;
  /** Opens the bucket for everything in log/ and client/: where an AccountAccess goes, this goes too. */
  access: GrantAccess;
  /** Of all its chains together. */
  verbs: Verb[];
  /** Of keys that may be written and deleted; '' where it may be any, or none. */
  prefix: string;
  /** When the first of its chains ends. */
  expiresMs: number;
  chains: readonly GrantChain[];
  rights: readonly GrantRights[];
  /** Control key of the farm, and some farmers of it. */
  farm: PublicKey;
  farmers: readonly FarmerAddress[];
  keys: GrantKeys;
}

/**
 * Opens the text with the holder's seed, or with the one that it carries. Says nothing about whether farmers
 * still take it. Throws GrantError: Unreadable where it is no grant or is sealed to another key.
 */
export function openGrant(grant: string, holderSeed?: Uint8Array): OpenedGrant {
  try {
    const { chains: encoded, sealedKeys, farm, farmers, seed } = decodeGrantText(grant);
    const own = holderSeed ?? seed;
    if (!own)
      throw new GrantError(
        'Unreadable',
        'The grant is for a key that is not in it: give the seed of its holder (holderSeed, STORJ_GRANT_KEY).',
      );
    const holder = keyPairFromSeed(own);
    const chains = encoded.map(decodeGrantChain);
    const rights = chains.map((chain) => chainRights(chain.map(grantLink)));
    const [first] = rights;
    if (!first || first.bucketId === '*') throw new GrantError('Unreadable', 'The grant is for no bucket.');
    const { owner, bucketId } = first;
    const isOne = rights.every((one) => one.owner === owner && one.bucketId === bucketId && one.holder === holder.publicKey);
    if (!isOne) throw new GrantError('Unreadable', 'The grant is for another key, or for several buckets at once.');
    const keys = decodeGrantKeys(openSealed(own, sealedKeys));
    const writing = rights.findIndex(({ verbs }) => verbs.includes('write') || verbs.includes('delete'));
    const grantBytes = encoded[writing] ?? null;
    const mayRead = rights.some(({ verbs }) => verbs.includes('read') || verbs.includes('list'));
    return {
      owner,
      bucketId,
      bucketName: keys.bucketName,
      holder,
      access: { owner, bucketId, bucketSecret: keys.bucketSecret, repairKeys: keys.repairKeys, grant: grantBytes, mayRead },
      verbs: [...new Set(rights.flatMap(({ verbs }) => verbs))],
      prefix: rights[writing]?.prefix ?? '',
      expiresMs: Math.min(...rights.map(({ expiresMs }) => expiresMs)),
      chains,
      rights,
      farm,
      farmers,
      keys,
    };
  } catch (cause) {
    if (!(cause instanceof WireError || cause instanceof OpenError)) throw cause;
    throw new GrantError(
      'Unreadable',
      `This is no whole grant (one line, sj-grant/1:…), or it is sealed to another key: ${cause.message}`,
      { cause },
    );
  }
}

/** A part of one's own grant for somebody else, without asking anybody: needs the verb `share`. Throws GrantError. */
export function handOnGrant(
  grant: OpenedGrant,
  order: GrantPeriod & { to: Holder; allow: readonly GrantAllowance[]; seed?: Uint8Array },
  runtime: Pick<Runtime, 'random'>,
): string {
  const { holder: issuer, owner, bucketId, chains, keys, farm, farmers } = grant;
  return grantText({ ...order, issuer, owner, bucketId, chains, keys, farm, farmers }, runtime);
}

/**
 * A client of the farm from the grant alone: finds the farm through one of the farmers that the grant names, and
 * shows the grant to each farmer that it talks to. `network` has the holder's identity and stays the caller's.
 * Rejects with CallError where no farmer answers.
 */
export async function connectGrant(
  grant: OpenedGrant,
  input: { network: Network; runtime?: Runtime; limits?: Partial<ClientLimits>; signal: AbortSignal },
): Promise<Client> {
  const { network, signal, ...rest } = input;
  const farm = await farmOf(grant, network, signal);
  const shown = grantNetwork(network, { owner: grant.owner, chains: grant.chains });
  return createClient({ ...rest, network: shown, farm: settableFarmView(farm) });
}

async function farmOf({ farmers, farm }: OpenedGrant, network: Network, signal: AbortSignal): Promise<FarmSnapshot> {
  let last: unknown = new CallError('Unreachable', 'The grant names no farmer.');
  for (const farmer of farmers) {
    try {
      const found = await connectFarm(network, farmer, signal);
      if (found.controlKey === farm) return found;
      last = new CallError('WrongPeer', `${farmer.url} belongs to another farm now.`);
    } catch (error) {
      signal.throwIfAborted();
      last = error;
    }
  }
  throw last;
}

interface TextOrder extends GrantPeriod {
  owner: PublicKey;
  bucketId: BucketId;
  /** What the issuer has; one empty chain for an owner or a keeper. */
  chains: readonly GrantChain[];
  issuer: KeyPair;
  to: Holder;
  allow: readonly GrantAllowance[];
  keys: GrantKeys;
  farm: PublicKey;
  farmers: readonly FarmerAddress[];
  seed?: Uint8Array;
}

function grantText(order: TextOrder, { random }: Pick<Runtime, 'random'>): string {
  const { allow, chains, issuer, to, keys, farm, farmers, seed = null } = order;
  if (allow.length === 0 || allow.length > MAX_CHAINS) {
    throw new GrantError('TooManyLinks', `A grant allows 1 to ${MAX_CHAINS} things, not ${allow.length}.`);
  }
  const made = allow.map((one) => extendOne(chains, issuer, { ...order, ...one, audience: to.publicKey, nonce16: random(16) }));
  return encodeGrantText({
    chains: made.map(encodeGrantChain),
    sealedKeys: sealTo(to.box, encodeGrantKeys(keys), random(32)),
    farm,
    farmers: [...farmers],
    seed,
  });
}

/** By the first of the issuer's chains that allows it; what the last one says where none does. */
function extendOne(chains: readonly GrantChain[], issuer: KeyPair, terms: Parameters<typeof extendGrant>[2]): GrantChain {
  let last: unknown;
  for (const chain of chains) {
    try {
      return extendGrant(chain, issuer, terms);
    } catch (error) {
      if (!(error instanceof GrantError)) throw error;
      last = error;
    }
  }
  throw last;
}

/** Replicas of the bucket first: they are asked anyway. */
function someFarmers({ members }: FarmSnapshot, view: RootView, bucketId: BucketId): FarmerAddress[] {
  const replicas = view.sets.get(bucketId)?.members ?? [];
  const active = members.filter(({ state }) => state === 'Active');
  const near = active.filter(({ farmer }) => replicas.includes(farmer));
  return [...new Set([...near, ...active])].slice(0, MAX_GRANT_FARMERS).map(({ farmer, url }) => ({ farmer, url }));
}
