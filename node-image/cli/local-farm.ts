// A farm on this machine: plays the operator's part for farmers, bridge and repairer that run as child
// processes. The same keys, roster, memberships and configuration as in Kubernetes, with folders for volumes.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { boxPublicKey, entropyFromWords, keyPairFromSeed, ownerFromEntropy, wordsFromEntropy } from '#node/core/keys.ts';
import { fromHex } from '#node/core/ids.ts';
import { defaultScheme } from '#node/core/schemes.ts';
import type { BridgeDesired, FarmConfig, RosterMember } from '#node/interface/config.ts';
import { bridgeStatusSchema, farmReportSchema } from '#node/interface/status.ts';
import { adminClient, type AdminClient } from '#node/net/admin-client.ts';
import { firstContact } from '#node/net/first-contact.ts';
import { signStatement } from '#node/wire/statements.ts';
import { startChild, type Child } from './child.ts';
import { FarmError, openFarmFolder, writeAtomic, type FarmFolder, type StoredAccount } from './farm-folder.ts';
import { freePorts, takePort } from './free-port.ts';

export { FarmError } from './farm-folder.ts';

const HOST = '127.0.0.1';
const REGION = 'storj-1';
/** A loaded laptop starts eight Node processes in well under this. */
const START_TIMEOUT_MS = 120_000;
const WATCH_MS = 2_000;
/** Time for a folder that comes back; in a farm of folders nobody waits four hours. */
const LOST_AFTER_MS = 10 * 60_000;

export interface LocalFarmOptions {
  dataDir: string;
  farmers: number;
  /** 0 = one zone, and each farmer its own failure domain. */
  zones: number;
  accounts: number;
  /** 0 = a free one, kept in the folder. */
  s3Port: number;
  say: (text: string) => void;
  /** Stops the farm. */
  signal: AbortSignal;
}

interface Account {
  accessKey: string;
  secretKey: string;
  canonicalId: string;
  displayName: string;
}

export interface LocalFarm {
  endpoint: string;
  region: string;
  accounts: Account[];
  /** For `storj --farmer`: https://host:port#PEER_ID. */
  farmers: string[];
  /** "ready in 2.9 s, 3.1 times the start of one process". */
  startFigure: string;
  /** farmer-0, …, bridge, repairer. */
  children: ReadonlyMap<string, Child>;
  /** https://host:port of a node's admin port. */
  adminUrl(name: string): string;
  admin: AdminClient;
  stop(): Promise<void>;
  /** Resolves when all processes have ended. */
  ended: Promise<void>;
}

/** Starts it and waits until S3 serves all accounts. FarmError says what is wrong and what to do. */
export async function startLocalFarm(options: LocalFarmOptions): Promise<LocalFarm> {
  const startedMs = performance.now();
  const folder = openFarmFolder(options.dataDir);
  const children = new Map<string, Child>();
  const stopAll = async () => {
    // Those who ask go first, so that nobody loses a farmer in the middle of a transfer.
    await Promise.all(['bridge', 'repairer'].map(async (name) => await children.get(name)?.stop()));
    await Promise.all([...children.values()].map((child) => child.stop()));
  };
  try {
    const farm = await startAll(folder, options, children);
    const seconds = (performance.now() - startedMs) / 1000;
    const watching = new AbortController();
    const watched = watch(farm, watching.signal);
    let stopping: Promise<void> | undefined;
    const stop = () =>
      (stopping ??= (async () => {
        watching.abort();
        await watched;
        await stopAll();
        folder.release();
      })());
    const ended = new Promise<void>((resolve) => {
      const onAbort = () => void stop().then(resolve);
      if (options.signal.aborted) onAbort();
      else options.signal.addEventListener('abort', onAbort, { once: true });
    });
    const figure = `ready in ${seconds.toFixed(1)} s, ${(seconds / farm.firstStartSeconds).toFixed(1)} times the start of one process`;
    return {
      endpoint: `http://${HOST}:${folder.state.s3Port}`,
      region: REGION,
      accounts: folder.accounts.slice(0, options.accounts).map(publicAccount),
      farmers: folder.state.roster
        .filter(({ state }) => state === 'Active')
        .map(({ slot, peerId }) => `https://${HOST}:${folder.state.ports[slot]?.pieces}#${peerId}`),
      startFigure: figure,
      children,
      adminUrl: (name) => adminUrl(folder, name),
      admin: farm.admin,
      stop,
      ended,
    };
  } catch (error) {
    await stopAll();
    folder.release();
    throw error;
  }
}

interface Running {
  folder: FarmFolder;
  options: LocalFarmOptions;
  children: Map<string, Child>;
  admin: AdminClient;
  slots: string[];
  firstStartSeconds: number;
}

async function startAll(folder: FarmFolder, options: LocalFarmOptions, children: Map<string, Child>): Promise<Running> {
  const { state } = folder;
  const slots = Array.from({ length: Math.max(options.farmers, state.roster.length) }, (_, index) => `farmer-${index}`);
  state.s3Port = await takePort(options.s3Port === 0 && state.s3Port !== 0 ? state.s3Port : options.s3Port, '--port');
  await choosePorts(folder, [...slots, 'bridge', 'repairer']);
  makeAccounts(folder, options.accounts);
  for (const name of ['bridge', 'repairer'] as const) writeAtomic(folder.path(`${name}.seed`), state.seeds[name]);
  publish(folder, options);
  const startedMs = performance.now();
  for (const name of [...slots, 'bridge', 'repairer']) children.set(name, start(folder, options, name));
  const admin = await adminClient(keyPairFromSeed(fromHex(state.seeds.control)));
  const farm: Running = { folder, options, children, admin, slots, firstStartSeconds: 0 };
  const deadline = AbortSignal.any([options.signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
  await until(deadline, `farmer-0 doesn't answer: look at ${folder.path('logs', 'farmer-0.log')}`, () =>
    contact(folder, 'farmer-0'),
  );
  farm.firstStartSeconds = (performance.now() - startedMs) / 1000;
  await until(deadline, `not all farmers answer: look into ${folder.path('logs')}`, async () => await meet(farm));
  await until(
    deadline,
    `the bridge isn't ready: look at ${folder.path('logs', 'bridge.log')}`,
    async () => await serveAccounts(farm),
  );
  return farm;
}

/** Keeps the roster true while the farm runs: a farmer that was restarted on an empty folder is another one. */
async function watch(farm: Running, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(WATCH_MS, undefined, { signal }).catch(() => {});
    if (!signal.aborted) await meet(farm).catch(() => {});
  }
}

/** First contact with every slot; publishes the roster where it changed. True when all were met. */
async function meet(farm: Running): Promise<boolean> {
  const { folder, options, slots } = farm;
  const met = await Promise.all(slots.map((slot) => contact(folder, slot)));
  const failed = await failedAudits(farm);
  const roster = slots.map((slot, index) => member(folder, options, slot, met[index] ?? null));
  const known = roster
    .filter((one): one is RosterMember => one !== undefined)
    .map((one): RosterMember => (failed.has(one.farmer) ? { ...one, distrusted: true } : one));
  if (JSON.stringify(known) !== JSON.stringify(folder.state.roster)) {
    folder.state.roster = known;
    publish(folder, options);
  }
  return met.every((one) => one !== null);
}

/** By the repairer's report; nobody while it gives none. */
async function failedAudits({ folder, admin }: Running): Promise<ReadonlySet<string>> {
  const expect = keyPairFromSeed(fromHex(folder.state.seeds.repairer)).publicKey;
  const question = { url: adminUrl(folder, 'repairer'), method: 'GET', path: '/report', expect } as const;
  const answer = await admin.call({ ...question, signal: AbortSignal.timeout(3_000) }).catch(() => null);
  const report = farmReportSchema.safeParse(answer);
  const farmers = report.success ? report.data.farmers : [];
  return new Set(farmers.filter(({ audits }) => audits?.trust === 'Distrusted').map(({ farmer }) => farmer));
}

async function contact(folder: FarmFolder, slot: string): Promise<{ publicKey: string; peerId: string } | null> {
  const port = folder.state.ports[slot]?.pieces ?? 0;
  return await firstContact({ host: HOST, port }, AbortSignal.timeout(3_000)).catch(() => null);
}

/** The slot's place in the roster: as recorded while it is silent, anew when another identity answers. */
function member(
  folder: FarmFolder,
  options: LocalFarmOptions,
  slot: string,
  met: { publicKey: string; peerId: string } | null,
): RosterMember | undefined {
  const { state } = folder;
  const recorded = state.roster.find((one) => one.slot === slot);
  if (!met || recorded?.farmer === met.publicKey) return recorded;
  if (recorded) options.say(`${slot} came back as another farmer: what the old one held is being rebuilt`);
  const ports = state.ports[slot];
  const control = keyPairFromSeed(fromHex(state.seeds.control));
  const zone = options.zones === 0 ? 'main' : `zone-${Number(slot.split('-')[1]) % options.zones}`;
  const membership = signStatement(control, {
    kind: 'membership',
    farm: control.publicKey,
    farmer: met.publicKey,
    issuedMs: Date.now(),
  });
  return {
    slot,
    farmer: met.publicKey,
    peerId: met.peerId,
    // An identity never leaves its folder, so it names the folder's content as a volume's UID does.
    volumeUid: met.publicKey,
    zone,
    domain: options.zones === 0 ? slot : zone,
    state: 'Active',
    url: `https://${HOST}:${ports?.pieces}`,
    multiaddr: `/ip4/${HOST}/tcp/${ports?.libp2p}/p2p/${met.peerId}`,
    membership: Buffer.from(membership.bytes).toString('base64'),
  };
}

/** The configuration as a file that all nodes watch. */
function publish(folder: FarmFolder, options: LocalFarmOptions): void {
  const { state } = folder;
  state.generation += 1;
  folder.save();
  const seed = (name: keyof typeof state.seeds) => fromHex(state.seeds[name]);
  const config: FarmConfig = {
    farmUid: state.farmUid,
    farmName: options.dataDir,
    controlKey: keyPairFromSeed(seed('control')).publicKey,
    epoch: 0,
    generation: state.generation,
    redundancy: defaultScheme(Math.max(1, state.roster.length)),
    rewrite: state.roster.length === options.farmers,
    roster: state.roster,
    bridges: [keyPairFromSeed(seed('bridge')).publicKey],
    repairers: [{ repairer: keyPairFromSeed(seed('repairer')).publicKey, box: boxPublicKey(seed('repairer')) }],
    lostAfterMs: LOST_AFTER_MS,
    repairBytesPerSecond: 0,
  };
  writeAtomic(folder.path('farm.json'), config);
}

/** Owners and access keys to the bridge. True when it serves them all under the current roster. */
async function serveAccounts(farm: Running): Promise<boolean> {
  const { folder, options, admin } = farm;
  const { state } = folder;
  const bridge = keyPairFromSeed(fromHex(state.seeds.bridge)).publicKey;
  const call = (method: 'GET' | 'PUT' | 'POST', path: string, body?: unknown) =>
    admin.call({ url: adminUrl(folder, 'bridge'), method, path, body, expect: bridge, signal: AbortSignal.timeout(30_000) });
  const current = () =>
    call('GET', '/status').then(
      (answer) => bridgeStatusSchema.parse(answer),
      () => null,
    );
  const before = await current();
  if (!before || before.generation < state.generation) return false;
  const accounts = folder.accounts.slice(0, options.accounts);
  for (const account of accounts) {
    if (!before.owners.includes(ownerOf(account))) await call('POST', '/admin/owners', { words: account.words });
  }
  state.generation += 1;
  folder.save();
  const desired: BridgeDesired = {
    farmUid: state.farmUid,
    epoch: 0,
    generation: state.generation,
    buckets: [],
    accessKeys: accounts.map((one) => ({
      accessKeyId: one.accessKey,
      secretAccessKey: one.secretKey,
      owner: ownerOf(one),
      bucketName: null,
      displayName: one.displayName,
    })),
  };
  await call('PUT', '/admin/buckets', desired);
  const after = await current();
  return after?.ready === true && after.writable && accounts.every((one) => after.owners.includes(ownerOf(one)));
}

function start(folder: FarmFolder, options: LocalFarmOptions, name: string): Child {
  const { state } = folder;
  const ports = state.ports[name];
  const role = name.startsWith('farmer-') ? 'farmer' : (name as 'bridge' | 'repairer');
  return startChild({
    name,
    role,
    logFile: folder.path('logs', `${name}.log`),
    env: {
      STORJ_DATA_DIR: folder.path(name),
      STORJ_CONFIG_FILE: folder.path('farm.json'),
      STORJ_CONTROL_KEY: keyPairFromSeed(fromHex(state.seeds.control)).publicKey,
      STORJ_SLOT: name,
      STORJ_LISTEN_HOST: HOST,
      STORJ_ANNOUNCE_HOST: HOST,
      STORJ_PIECES_PORT: String(ports?.pieces),
      STORJ_LIBP2P_PORT: String(ports?.libp2p),
      STORJ_ADMIN_PORT: String(ports?.admin),
      STORJ_S3_PORT: String(state.s3Port),
      STORJ_S3_REGION: REGION,
      // Compiled code from the first start on: later ones are faster, and each process some 25 MB smaller.
      NODE_COMPILE_CACHE: folder.path('compile-cache'),
      ...(role === 'farmer' ? {} : { STORJ_SEED_FILE: folder.path(`${role}.seed`) }),
    },
    onEnd: (reason, pauseMs) =>
      options.say(`${name} ended (${reason}); starting it again in ${pauseMs / 1000} s. Its log: ${join('logs', `${name}.log`)}`),
  });
}

async function choosePorts(folder: FarmFolder, names: string[]): Promise<void> {
  const missing = names.filter((name) => !folder.state.ports[name]);
  const ports = await freePorts(missing.length * 3);
  for (const [index, name] of missing.entries()) {
    const [pieces = 0, libp2p = 0, admin = 0] = ports.slice(index * 3, index * 3 + 3);
    folder.state.ports[name] = { pieces, libp2p, admin };
  }
  folder.save();
}

function makeAccounts(folder: FarmFolder, count: number): void {
  while (folder.accounts.length < count) {
    folder.accounts.push({
      displayName: `account-${folder.accounts.length + 1}`,
      words: wordsFromEntropy(randomBytes(32)),
      accessKey: `SJ${randomBytes(16).toString('hex').toUpperCase()}`,
      secretKey: randomBytes(30).toString('base64url'),
    });
  }
  folder.saveAccounts();
}

function publicAccount(account: StoredAccount): Account {
  const { accessKey, secretKey, displayName } = account;
  return { accessKey, secretKey, canonicalId: ownerOf(account), displayName };
}

function ownerOf(account: StoredAccount): string {
  return ownerFromEntropy(entropyFromWords(account.words)).keyPair.publicKey;
}

function adminUrl(folder: FarmFolder, name: string): string {
  return `https://${HOST}:${folder.state.ports[name]?.admin}`;
}

/** Tries again until it gives something true; FarmError NotStarted with `problem` and the last error when time is up. */
async function until<T>(signal: AbortSignal, problem: string, attempt: () => Promise<T | null | false>): Promise<T> {
  let last: unknown;
  for (let pauseMs = 25; !signal.aborted; pauseMs = Math.min(pauseMs * 1.5, 500)) {
    try {
      const result = await attempt();
      if (result) return result;
    } catch (error) {
      last = error;
    }
    await sleep(pauseMs, undefined, { signal }).catch(() => {});
  }
  const cause = last instanceof Error ? ` (${last.message})` : '';
  throw new FarmError('NotStarted', `The farm didn't start: ${problem}${cause}`, { cause: last });
}
