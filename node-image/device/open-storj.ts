// The public entry: words or a device's key, one farmer's address, and perhaps a folder for what outlives the
// process. `import { openStorj } from 'storjfarm'`.
import { accessOf, roleStatement, type Access, type AccountAccess } from '#node/client/account.ts';
import { createClient } from '#node/client/client.ts';
import { settableFarmView, type FarmSnapshot } from '#node/client/farm-view.ts';
import { grantNetwork } from '#node/client/grant-network.ts';
import { openGrant, type OpenedGrant } from '#node/client/grants.ts';
import { boxPublicKey, entropyFromWords, keyPairFromSeed, ownerFromEntropy, WordsError, type KeyPair } from '#node/core/keys.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { httpsNetwork } from '#node/net/https-pieces.ts';
import type { Network } from '#node/net/net.ts';
import { tlsIdentity } from '#node/net/tls-identity.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { Allowed } from './bucket.ts';
import { openState } from './device-state.ts';
import { findFarm, parseFarmer } from './farm-door.ts';
import { storjOn, type Storj } from './storj.ts';
import { StorjError, translated } from './storj-error.ts';

export {
  handOn,
  holderText,
  parseHolder,
  type GivenPermissions,
  type GrantOrder,
  type HandOnOrder,
  type Permissions,
  type ShareOrder,
} from './permissions.ts';
export type { AccountStatus } from './status.ts';
export type { PutSource, ReadableAgain } from './put-object.ts';
export type { Bucket, BucketInfo, ListItem, ObjectInfo, PutOptions } from './bucket.ts';
export type { Storj } from './storj.ts';
export { StorjError, type StorjErrorCode } from './storj-error.ts';

/** A device of the account: a key of its own with the owner's permission, so that the words stay in their drawer. */
export interface DeviceKey {
  owner: PublicKey;
  /** 32 bytes. */
  seed: Uint8Array;
}

export interface OpenOptions {
  /** The account's 24 words, a device's key, or a grant (with the seed of its holder, where that isn't in it). */
  words?: string;
  device?: DeviceKey;
  grant?: string;
  holderSeed?: Uint8Array;
  /** Addresses of farmers, `https://host:port#PEER_ID`: the first that answers tells of the others. A grant names some. */
  farmers?: readonly string[];
  /** The farm's control key, where it is known: no other farm is taken for it. */
  farm?: PublicKey;
  /**
   * For the catalog and the state of the own logs. Without one (or while another process has it) everything is
   * read from the farmers, and what this object wrote is closed with it.
   */
  stateDir?: string;
  signal?: AbortSignal;
}

export interface OpenedStorj extends Storj {
  /** What to remember for the next time. */
  farm(): { controlKey: PublicKey; farmers: string[] };
}

const FARM_REFRESH_MS = 60_000;
const CONNECT_LIMIT_MS = 30_000;

/** Rejects with StorjError. Close it in the end. */
export async function openStorj(options: OpenOptions): Promise<OpenedStorj> {
  const who = await said(() => identityOf(options));
  const network = httpsNetwork({ identity: await tlsIdentity(who.key) });
  try {
    const hints = { farmers: [...(options.farmers ?? []), ...who.farmers], farm: options.farm ?? who.farm };
    const view = settableFarmView(await theFarm(network, hints, options.signal));
    const shown = who.grant ? grantNetwork(network, who.grant) : network;
    const client = createClient({ network: shown, farm: view });
    const access = who.access ?? (await accessOfDevice(client.link, options.device!, who.key));
    const state = await openState({ folder: options.stateDir, owner: access.owner, writer: who.key });
    const storj = storjOn({ client, access, writer: who.key, ...(who.grant ? { allowed: who.grant } : {}), ...state });
    const ending = new AbortController();
    const watching = keepUp(network, view, hints, ending.signal);
    const close = async () => {
      try {
        await storj.close();
      } finally {
        ending.abort();
        await watching;
        state.release();
        await network.close();
      }
    };
    return { ...storj, farm: () => ({ controlKey: view.current().controlKey, farmers: addressesOf(view.current()) }), close };
  } catch (error) {
    await network.close();
    throw translated(error);
  }
}

/** Makes this machine a device of the account: signs its role and gives it to the farmers. The key is for its disk. */
export async function enrolDevice(options: OpenOptions & { words: string }): Promise<DeviceKey> {
  const owner = ownerOf(options.words);
  const network = httpsNetwork({ identity: await tlsIdentity(owner.keyPair) });
  try {
    const farm = await theFarm(network, { ...options, farmers: options.farmers ?? [] }, options.signal);
    const client = createClient({ network, farm: settableFarmView(farm), limits: { threads: 0 } });
    const device = keyPairFromSeed(systemRuntime.random(32));
    const signal = systemRuntime.deadline(CONNECT_LIMIT_MS, ...(options.signal ? [options.signal] : []));
    const { statements: known } = await fetchRoots(client.link, owner.keyPair.publicKey, signal);
    const role = roleStatement({
      owner,
      subject: { publicKey: device.publicKey, box: boxPublicKey(device.seed) },
      role: 'writer',
      random32: systemRuntime.random(32),
      issuedMs: systemRuntime.nowMs(),
    });
    await publishRoots(client.link, { owner: owner.keyPair.publicKey, statements: [role], known, signal });
    await client.close();
    return { owner: owner.keyPair.publicKey, seed: device.seed };
  } catch (error) {
    throw translated(error);
  } finally {
    await network.close();
  }
}

interface Identity {
  key: KeyPair;
  /** Null for a device: its role statement says. */
  access: Access | null;
  grant: (Allowed & Pick<OpenedGrant, 'owner' | 'chains'>) | null;
  farmers: string[];
  farm: PublicKey | undefined;
}

function identityOf({ words, device, grant, holderSeed }: OpenOptions): Identity {
  const plain = { grant: null, farmers: [], farm: undefined };
  if (words !== undefined) {
    const { keyPair, accountSecret } = ownerOf(words);
    return { ...plain, key: keyPair, access: { owner: keyPair.publicKey, accountSecret } };
  }
  if (grant !== undefined) {
    const opened = openGrant(grant.trim(), holderSeed);
    const farmers = opened.farmers.map(({ url, farmer }) => `${url}#${farmer}`);
    return { key: opened.holder, access: opened.access, grant: opened, farmers, farm: opened.farm };
  }
  if (device !== undefined) return { ...plain, key: keyPairFromSeed(device.seed), access: null };
  throw new StorjError('NoAccess', 'Nothing opens an account: give the 24 words, a grant or a device key.');
}

async function said<T>(work: () => T): Promise<T> {
  try {
    return work();
  } catch (error) {
    throw translated(error);
  }
}

function ownerOf(words: string) {
  try {
    return ownerFromEntropy(entropyFromWords(words));
  } catch (cause) {
    if (cause instanceof WordsError) throw new StorjError('NoAccess', cause.message, { cause });
    throw cause;
  }
}

interface Hints {
  farmers: readonly string[];
  farm?: PublicKey | undefined;
}

async function theFarm(network: Network, { farmers, farm }: Hints, signal?: AbortSignal): Promise<FarmSnapshot> {
  const limit = systemRuntime.deadline(CONNECT_LIMIT_MS, ...(signal ? [signal] : []));
  return await findFarm(network, farmers.map(parseFarmer), { expected: farm, signal: limit });
}

async function accessOfDevice(
  link: Parameters<typeof fetchRoots>[0],
  { owner }: DeviceKey,
  key: KeyPair,
): Promise<AccountAccess> {
  const { view } = await fetchRoots(link, owner, systemRuntime.deadline(CONNECT_LIMIT_MS));
  const access = accessOf(view, key);
  if (access !== null) return access;
  throw new StorjError('NotAllowed', 'The account does not know this device (any more): run `storj restore` with its words.');
}

const addressesOf = ({ members }: FarmSnapshot): string[] => members.map(({ url, farmer }) => `${url}#${farmer}`);

/** The roster changes while a program runs. */
async function keepUp(
  network: Network,
  view: ReturnType<typeof settableFarmView>,
  { farmers }: Hints,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await systemRuntime.sleep(FARM_REFRESH_MS, signal).catch(() => {});
    if (signal.aborted) return;
    const { controlKey } = view.current();
    const hints = [...addressesOf(view.current()), ...farmers].map(parseFarmer);
    const limit = systemRuntime.deadline(CONNECT_LIMIT_MS, signal);
    await findFarm(network, hints, { expected: controlKey, signal: limit }).then(
      (farm) => view.set(farm),
      () => {},
    );
  }
}
