// An owner with a bucket on a farm of real farmers, and writers that crash where a test wants them to.
import { bucketKeys, keeperStatement, warrantStatement, writerKeys, type AccountAccess } from '#node/client/account.ts';
import { logLink } from '#node/client/farm-view.ts';
import { boxPublicKey, ownerFromEntropy, type KeyPair, type Owner } from '#node/core/keys.ts';
import type { LogLink } from '#node/log/log-link.ts';
import { readBatches, readHeads, type ReadBatch, type SeenHead } from '#node/log/log-reader.ts';
import { openBucketLog, type AcknowledgedBatch, type BucketLog, type SavedLog, type WriterState } from '#node/log/log-writer.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { CallError, type Network } from '#node/net/net.ts';
import type { PublicKey, PutEntry, RepairPart } from '#node/wire/types.ts';
import { startTestFarm, type TestFarm } from '#test/node-image/client/support/test-farm.ts';

export const BUCKET = '1'.repeat(32);
export const NOTHING: RepairPart = { added: [], released: [] };

export interface LogWorld extends TestFarm {
  readonly owner: Owner;
  readonly access: AccountAccess;
  /** As the bridge, or as whoever. */
  link(self?: KeyPair, wrap?: (network: Network) => Network): LogLink;
  open(options?: {
    state?: WriterState;
    writer?: KeyPair;
    link?: LogLink;
    patienceMs?: number;
    signal?: AbortSignal;
    onAcknowledged?: (batch: AcknowledgedBatch) => void;
  }): Promise<BucketLog>;
  /** Everything that a fresh reader finds. */
  read(since?: ReadonlyMap<PublicKey, SeenHead | number>): Promise<ReadBatch[]>;
  /** Keys of the put entries that it finds, sorted. */
  readKeys(): Promise<string[]>;
  /** Makes `keeper` a keeper too, beside the bridge. */
  admit(keeper: KeyPair): Promise<void>;
  warrant(): Promise<void>;
}

export const within = (ms = 15_000) => AbortSignal.timeout(ms);

export async function startLogWorld(options: { farmers: number; answerTimeoutMs?: number }): Promise<LogWorld> {
  const world = await startTestFarm(options);
  const { bridge, repairer, controlKey } = world.farm;
  const owner = ownerFromEntropy(new Uint8Array(32).fill(7));
  const access = { owner: owner.keyPair.publicKey, accountSecret: owner.accountSecret };
  const link = (self: KeyPair = bridge, wrap: (network: Network) => Network = (network) => network) =>
    logLink({
      network: wrap(world.farm.networkOf(self)),
      farm: world.view,
      runtime: systemRuntime,
      answerTimeoutMs: options.answerTimeoutMs ?? 3000,
    });
  const admit = async (keeper: KeyPair) => {
    const { statements: known } = await fetchRoots(link(), access.owner, within());
    const role = keeperStatement({
      owner,
      keeper: { publicKey: keeper.publicKey, box: boxPublicKey(keeper.seed) },
      random32: systemRuntime.random(32),
      issuedMs: 1,
    });
    await publishRoots(link(), { owner: access.owner, statements: [role], known, signal: within() });
  };
  await admit(bridge);
  const log: LogWorld = {
    ...world,
    owner,
    access,
    link,
    admit,
    async open({ state = memoryState(), writer = bridge, link: through = link(), ...rest } = {}) {
      const { view } = await fetchRoots(through, access.owner, within());
      return await openBucketLog({
        link: through,
        owner: access.owner,
        bucketId: BUCKET,
        writer,
        kind: 'entries',
        keys: writerKeys(access, view, BUCKET),
        state,
        signal: within(),
        ...rest,
      });
    },
    async read(since = new Map()) {
      const state = await readHeads(link(), { owner: access.owner, bucketId: BUCKET, signal: within() });
      const keys = bucketKeys(access, state.view, BUCKET);
      const batches: ReadBatch[] = [];
      for await (const batch of readBatches(link(), { state, since, keys, signal: within() })) batches.push(batch);
      return batches;
    },
    async readKeys() {
      return (await log.read())
        .flatMap(({ entries }) => (entries ?? []).map((entry) => (entry.kind === 'put' ? entry.key : '')))
        .sort();
    },
    async warrant() {
      const { statements: known } = await fetchRoots(link(), access.owner, within());
      const statement = warrantStatement({
        signer: bridge,
        access,
        repairer: { repairer: repairer.publicKey, box: boxPublicKey(repairer.seed) },
        repairEpoch: 1,
        farms: [controlKey.publicKey],
        random32: systemRuntime.random(32),
        issuedMs: 2,
      });
      await publishRoots(link(), { owner: access.owner, statements: [statement], known, signal: within() });
    },
  };
  return log;
}

/** A disk that keeps what was saved, whatever becomes of the process. */
export function memoryState(saved: SavedLog | null = null): WriterState & { saved: SavedLog | null } {
  const state = {
    saved,
    load: async () => state.saved,
    save: async (log: SavedLog) => {
      state.saved = structuredClone(log);
    },
  };
  return state;
}

/** A process that lives for so many steps (calls it makes, saves it does) and does nothing afterwards. */
export class Life {
  steps = 0;
  readonly #limit: number;
  readonly #over = new AbortController();
  /** Aborted by the crash: nobody is left who would wait. */
  readonly over = this.#over.signal;
  constructor(limit: number) {
    this.#limit = limit;
  }
  #step(): void {
    if (this.steps >= this.#limit) {
      const crash = new CallError('Aborted', 'The process has crashed.');
      this.#over.abort(crash);
      throw crash;
    }
    this.steps += 1;
  }
  network = (network: Network): Network => ({
    ...network,
    call: async (to, call, signal) => {
      this.#step();
      return await network.call(to, call, signal);
    },
  });
  state = (state: WriterState): WriterState => ({
    load: () => state.load(),
    save: async (log) => {
      this.#step();
      await state.save(log);
    },
  });
}

export function putEntry(key: string): PutEntry {
  return {
    kind: 'put',
    key,
    versionId: Buffer.from(systemRuntime.random(16)).toString('hex'),
    clock: { wallMs: Date.now(), counter: 0 },
    replaces: [],
    sizeBytes: 1,
    etag: 'e',
    modifiedMs: 1,
    headers: {},
    checksums: [],
    inline: new Uint8Array([1]),
  };
}
