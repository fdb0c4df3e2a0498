// Real farmer processes on this machine, as the operator would run them, and clients that they admit.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, type Child } from '#node/cli/child.ts';
import { writeAtomic } from '#node/cli/farm-folder.ts';
import { freePorts } from '#node/cli/free-port.ts';
import { keeperStatement, type AccountAccess } from '#node/client/account.ts';
import { createClient, type Client, type ClientLimits } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import { boxPublicKey, keyPairFromSeed, ownerFromEntropy, wordsFromEntropy, type KeyPair } from '#node/core/keys.ts';
import { defaultScheme } from '#node/core/schemes.ts';
import type { FarmConfig, RosterMember } from '#node/interface/config.ts';
import { getStatements } from '#node/log/log-calls.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { firstContact } from '#node/net/first-contact.ts';
import { httpsNetwork } from '#node/net/https-pieces.ts';
import type { Network } from '#node/net/net.ts';
import { tlsIdentity } from '#node/net/tls-identity.ts';
import { signStatement } from '#node/wire/statements.ts';
import { cpuSecondsOf } from './measure.ts';

const HOST = '127.0.0.1';
const START_TIMEOUT_MS = 60_000;

export interface FarmerFleet {
  readonly config: FarmConfig;
  /** A keeper of `access`. */
  readonly keeper: KeyPair;
  /** An owner whose statements are published. */
  readonly access: AccountAccess;
  /** The owner's 24 words. */
  readonly words: string;
  /** A client of its own network each time. `wrap` stands between it and the farmers. */
  client(limits?: Partial<ClientLimits>, wrap?: (network: Network) => Network): Promise<Client>;
  /** CPU seconds of all farmers so far; Linux only. */
  cpuSeconds(): number;
  /** Each farmer's resident memory now, MiB. */
  residentMib(): number[];
  /** Peak of each farmer's resident memory so far, MiB. */
  peakMib(): number[];
  stop(): Promise<void>;
}

/** Starts so many, waits until all answer and know each other. `profileFolder`: where each leaves its CPU profile. */
export async function startFleet(folder: string, count: number, profileFolder?: string): Promise<FarmerFleet> {
  const key = () => keyPairFromSeed(new Uint8Array(randomBytes(32)));
  const [control, keeper] = [key(), key()];
  const ports = await freePorts(3 * count);
  const configFile = join(folder, 'farm.json');
  mkdirSync(folder, { recursive: true });
  const children = Array.from({ length: count }, (_, i) =>
    startFarmerProcess(folder, i, { control, configFile, ports, profileFolder }),
  );
  // A benchmark that fails leaves nobody behind.
  process.once('exit', () => {
    for (const child of children) void child.kill();
  });
  const roster = await Promise.all(children.map((_, i) => meet(i, { control, ports })));
  const config: FarmConfig = {
    farmUid: 'bench',
    farmName: 'bench',
    controlKey: control.publicKey,
    epoch: 0,
    generation: 1,
    redundancy: defaultScheme(count),
    roster,
    bridges: [keeper.publicKey],
    repairers: [],
    lostAfterMs: 600_000,
    repairBytesPerSecond: 0,
  };
  writeAtomic(configFile, config);
  const clients: Client[] = [];
  const identity = await tlsIdentity(keeper);
  const entropy = new Uint8Array(randomBytes(32));
  const owner = ownerFromEntropy(entropy);
  const fleet: FarmerFleet = {
    config,
    keeper,
    access: { owner: owner.keyPair.publicKey, accountSecret: owner.accountSecret },
    words: wordsFromEntropy(entropy),
    async client(limits, wrap = (network) => network) {
      const network = wrap(httpsNetwork({ identity }));
      const view = settableFarmView(farmSnapshot(config));
      const client = createClient({ network, farm: view, ...(limits ? { limits } : {}) });
      clients.push(client);
      return client;
    },
    cpuSeconds: () => children.reduce((sum, { pid }) => sum + cpuSecondsOf(pid), 0),
    residentMib: () => children.map(({ pid }) => residentMib(pid)),
    peakMib: () => children.map(({ pid }) => peakMib(pid)),
    async stop() {
      await Promise.all(clients.map(async (client) => (await client.close(), await client.network.close())));
      // A profile is written at a good end only.
      await Promise.all(children.map((child) => (profileFolder === undefined ? child.kill() : child.stop())));
    },
  };
  await publishOwner(fleet, owner);
  return fleet;
}

function startFarmerProcess(
  folder: string,
  index: number,
  started: { control: KeyPair; configFile: string; ports: number[]; profileFolder: string | undefined },
): Child {
  const { control, configFile, ports, profileFolder } = started;
  const name = `farmer-${index}`;
  const [pieces, libp2p, admin] = ports.slice(3 * index, 3 * index + 3);
  return startChild({
    name,
    role: 'farmer',
    logFile: join(folder, `${name}.log`),
    env: {
      STORJ_DATA_DIR: join(folder, name),
      STORJ_CONFIG_FILE: configFile,
      STORJ_CONTROL_KEY: control.publicKey,
      STORJ_SLOT: name,
      STORJ_LISTEN_HOST: HOST,
      STORJ_ANNOUNCE_HOST: HOST,
      STORJ_PIECES_PORT: String(pieces),
      STORJ_LIBP2P_PORT: String(libp2p),
      STORJ_ADMIN_PORT: String(admin),
      ...(profileFolder === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profileFolder}` }),
    },
    onEnd: (reason) => console.error(`${name} ended: ${reason}. Its log: ${join(folder, `${name}.log`)}`),
  });
}

async function meet(index: number, { control, ports }: { control: KeyPair; ports: number[] }): Promise<RosterMember> {
  const [pieces, libp2p] = ports.slice(3 * index, 3 * index + 2);
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  for (;;) {
    const met = await firstContact({ host: HOST, port: pieces! }, AbortSignal.timeout(3000)).catch(() => null);
    if (!met) {
      deadline.throwIfAborted();
      await sleep(50);
      continue;
    }
    const { publicKey: farmer, peerId } = met;
    const membership = signStatement(control, { kind: 'membership', farm: control.publicKey, farmer, issuedMs: 1 });
    return {
      slot: `farmer-${index}`,
      farmer,
      peerId,
      volumeUid: farmer,
      zone: 'main',
      domain: farmer,
      state: 'Active',
      url: `https://${HOST}:${pieces}`,
      multiaddr: `/ip4/${HOST}/tcp/${libp2p}/p2p/${peerId}`,
      membership: Buffer.from(membership.bytes).toString('base64'),
    };
  }
}

/** The owner's word for the keeper; tried until the farmers have read their configuration. */
async function publishOwner(fleet: FarmerFleet, owner: ReturnType<typeof ownerFromEntropy>): Promise<void> {
  const { link, runtime } = await fleet.client({ threads: 0 });
  const { keeper, access } = fleet;
  const role = keeperStatement({
    owner,
    keeper: { publicKey: keeper.publicKey, box: boxPublicKey(keeper.seed) },
    random32: runtime.random(32),
    issuedMs: runtime.nowMs(),
  });
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  for (;;) {
    try {
      const signal = AbortSignal.timeout(10_000);
      const { statements: known } = await fetchRoots(link, access.owner, signal);
      await publishRoots(link, { owner: access.owner, statements: [role], known, signal });
      // A farmer that has just started takes the others' statements first, and says so until it has them.
      await Promise.all(fleet.config.roster.map((to) => getStatements(link, to, access.owner, signal)));
      return;
    } catch (error) {
      if (deadline.aborted) throw error;
      await sleep(200);
    }
  }
}

/** Peak of a process's resident memory; Linux only, NaN elsewhere. */
export function peakMib(pid: number | undefined): number {
  return memoryMib(pid, 'VmHWM');
}
export function residentMib(pid: number | undefined): number {
  return memoryMib(pid, 'VmRSS');
}
function memoryMib(pid: number | undefined, name: string): number {
  try {
    const [, kib] = new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(kib) / 1024;
  } catch {
    return NaN;
  }
}
