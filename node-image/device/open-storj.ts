// The public entry: words or a device's key, one farmer's address, and perhaps a folder for what outlives the
// process. `import { openStorj } from 'storjfarm'`.
import { accessOf, roleStatement, type AccountAccess } from '#node/client/account.ts';
import { createClient } from '#node/client/client.ts';
import { settableFarmView, type FarmSnapshot } from '#node/client/farm-view.ts';
import { boxPublicKey, entropyFromWords, keyPairFromSeed, ownerFromEntropy, WordsError, type KeyPair } from '#node/core/keys.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { httpsNetwork } from '#node/net/https-pieces.ts';
import type { Network } from '#node/net/net.ts';
import { tlsIdentity } from '#node/net/tls-identity.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { openState } from './device-state.ts';
import { findFarm, parseFarmer } from './farm-door.ts';
import { storjOn, type Storj } from './storj.ts';
import { StorjError, translated } from './storj-error.ts';

export type { AccountStatus } from './status.ts';
export type { PutSource, ReadableAgain } from './put-object.ts';
export type { Bucket, BucketInfo, ListItem, ObjectInfo, PutOptions, Storj } from './storj.ts';
export { StorjError, type StorjErrorCode } from './storj-error.ts';

/** A device of the account: a key of its own with the owner's permission, so that the words stay in their drawer. */
export interface DeviceKey {
  owner: PublicKey;
  /** 32 bytes. */
  seed: Uint8Array;
}

export interface OpenOptions {
  /** The account's 24 words, or a device's key. */
  words?: string;
  device?: DeviceKey;
  /** Addresses of farmers, `https://host:port#PEER_ID`: the first that answers tells of the others. */
  farmers: readonly string[];
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
  const { key, words } = identityOf(options);
  const network = httpsNetwork({ identity: await tlsIdentity(key) });
  try {
    const farm = await theFarm(network, options);
    const view = settableFarmView(farm);
    const client = createClient({ network, farm: view });
    const access = words ?? (await accessOfDevice(client.link, options.device!, key));
    const state = await openState({ folder: options.stateDir, owner: access.owner, writer: key });
    const storj = storjOn({ client, access, writer: key, ...state });
    const ending = new AbortController();
    const watching = keepUp(network, view, options, ending.signal);
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
    const farm = await theFarm(network, options);
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

function identityOf({ words, device }: OpenOptions): { key: KeyPair; words: AccountAccess | null } {
  if (words !== undefined) {
    const { keyPair, accountSecret } = ownerOf(words);
    return { key: keyPair, words: { owner: keyPair.publicKey, accountSecret } };
  }
  if (device !== undefined) return { key: keyPairFromSeed(device.seed), words: null };
  throw new StorjError('NoAccess', 'Nothing opens an account: give the 24 words or a device key.');
}

function ownerOf(words: string) {
  try {
    return ownerFromEntropy(entropyFromWords(words));
  } catch (cause) {
    if (cause instanceof WordsError) throw new StorjError('NoAccess', cause.message, { cause });
    throw cause;
  }
}

async function theFarm(network: Network, { farmers, farm, signal }: OpenOptions): Promise<FarmSnapshot> {
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
  { farmers }: OpenOptions,
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
