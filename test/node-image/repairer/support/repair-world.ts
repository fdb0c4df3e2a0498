// A farm of real farmers in memory, an owner whose bridge writes segments to it, and repairers as needed.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { logLink, settableFarmView } from '#node/client/farm-view.ts';
import {
  boxPublicKey,
  bucketRepairKey,
  bucketSecret,
  ownerFromEntropy,
  repairKey,
  sealTo,
  type KeyPair,
} from '#node/core/keys.ts';
import { choosePlaces } from '#node/core/placement.ts';
import { plainToCipherBytes, segmentGeometry, segmentId } from '#node/core/segments.ts';
import { rootPath } from '#node/core/merkle.ts';
import { fromHex } from '#node/core/ids.ts';
import { readBatches, readHeads } from '#node/log/log-reader.ts';
import { openBucketLog, type BucketLog, type SavedLog } from '#node/log/log-writer.ts';
import { changeMember, dissolvedSet, ensureReplicaSet, nextMemberChange } from '#node/log/replica-set.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { systemRuntime, type Runtime } from '#node/log/runtime.ts';
import type { Audit } from '#node/repairer/audit-farmer.ts';
import { FarmRepair, type RepairEvents, type RepairLimits } from '#node/repairer/farm-repair.ts';
import { segmentLink } from '#node/repairer/piece-link.ts';
import { copiedFooter } from '#node/repairer/piece-math.ts';
import { WriterStates } from '#node/repairer/placement-logs.ts';
import { SegmentIndex } from '#node/repairer/segment-index.ts';
import { signCut } from '#node/wire/cuts.ts';
import { signRootStatement, type ReplicaSet } from '#node/wire/root-view.ts';
import { ACCOUNT_BUCKET_ID, type BucketId, type CutHead, type PublicKey, type SegmentPlacement } from '#node/wire/types.ts';
import { memoryFarm, type MemoryFarm } from '#test/support/memory-farmer.ts';
import { testSegment, type TestSegment } from '#test/node-image/repairer/support/test-segment.ts';

export const BUCKET: BucketId = '1'.repeat(32);
export const OTHER_BUCKET: BucketId = '2'.repeat(32);

/** Wall clock that tests can move on. */
function shiftedClock(): Runtime & { shiftMs: number } {
  const clock = { ...systemRuntime, shiftMs: 0, nowMs: () => Date.now() + clock.shiftMs };
  return clock;
}

export interface WrittenSegment {
  segment: TestSegment;
  placement: SegmentPlacement;
}

export interface RepairerHandle {
  repair: FarmRepair;
  index: SegmentIndex;
  failures: string[];
  repaired: { pieces: number; copied: boolean }[];
  audits: Audit[];
  /** Asks, reads, repairs, until nothing is due; answers whether everything could be read. */
  round(): Promise<boolean>;
  stop(): Promise<void>;
}

export class RepairWorld {
  readonly farm: MemoryFarm;
  readonly clock: Runtime & { shiftMs: number };
  readonly owner = ownerFromEntropy(new Uint8Array(32).fill(7));
  readonly ended = new AbortController();
  readonly logs = new Map<BucketId, BucketLog>();
  readonly #view: ReturnType<typeof settableFarmView>;
  readonly #folder = mkdtempSync(join(tmpdir(), 'repair-world-'));
  readonly #handles: RepairerHandle[] = [];
  #segments = 0;
  #folders = 0;

  private constructor(farm: MemoryFarm, clock: Runtime & { shiftMs: number }) {
    this.farm = farm;
    this.clock = clock;
    this.#view = settableFarmView(farmSnapshot(farm.current()));
    farm.config.follow(null, (config) => this.#view.set(farmSnapshot(config)));
  }

  static async start(farmers: number, domainOf?: (i: number) => string): Promise<RepairWorld> {
    const clock = shiftedClock();
    const farm = await memoryFarm({ farmers, nowMs: clock.nowMs, ...(domainOf ? { domainOf } : {}) });
    const world = new RepairWorld(farm, clock);
    await world.#introduce();
    return world;
  }

  get link() {
    return logLink({
      network: this.farm.networkOf(this.farm.bridge),
      farm: this.#view,
      runtime: this.clock,
      answerTimeoutMs: 2000,
    });
  }
  get access() {
    return { owner: this.owner.keyPair.publicKey, accountSecret: this.owner.accountSecret };
  }

  async #introduce(): Promise<void> {
    const { bridge } = this.farm;
    const keeper = signRootStatement(this.owner.keyPair, {
      kind: 'role',
      owner: this.access.owner,
      subject: bridge.publicKey,
      role: 'keeper',
      bucketId: '*',
      sealedSecret: sealTo(boxPublicKey(bridge.seed), this.owner.accountSecret, this.clock.random(32)),
      issuedMs: this.clock.nowMs(),
    });
    await publishRoots(this.link, { owner: this.access.owner, statements: [keeper], known: [], signal: this.ended.signal });
    await this.warrant(this.farm.repairer);
    await this.openLog(BUCKET);
  }

  async warrant(repairer: KeyPair, repairEpoch = 1): Promise<void> {
    const { statements: known } = await fetchRoots(this.link, this.access.owner, this.ended.signal);
    const key = repairKey(this.owner.accountSecret, repairEpoch);
    const statement = signRootStatement(this.farm.bridge, {
      kind: 'warrant',
      owner: this.access.owner,
      repairer: repairer.publicKey,
      repairEpoch,
      sealedRepairKey: sealTo(boxPublicKey(repairer.seed), key, this.clock.random(32)),
      farms: [this.farm.controlKey.publicKey],
      farmers: [],
      issuedMs: this.clock.nowMs(),
    });
    await publishRoots(this.link, { owner: this.access.owner, statements: [statement], known, signal: this.ended.signal });
  }

  async openLog(bucketId: BucketId, repairEpoch = 1): Promise<void> {
    const roots = await fetchRoots(this.link, this.access.owner, this.ended.signal);
    await ensureReplicaSet(this.link, { roots, bucketId, keeper: this.farm.bridge, signal: this.ended.signal });
    let saved: SavedLog | null = null;
    const log = await openBucketLog({
      link: this.link,
      owner: this.access.owner,
      bucketId,
      writer: this.farm.bridge,
      kind: 'entries',
      keys: {
        bucketSecret: bucketSecret(this.owner.accountSecret, bucketId),
        repairKey: bucketRepairKey(repairKey(this.owner.accountSecret, repairEpoch), bucketId),
      },
      state: {
        load: () => Promise.resolve(saved),
        save: (next) => {
          saved = next;
          return Promise.resolve();
        },
      },
      signal: this.ended.signal,
    });
    this.logs.set(bucketId, log);
  }

  /** Writes a segment as the bridge does: pieces, then the batch. */
  async write(plainBytes: number, bucketId = BUCKET): Promise<WrittenSegment> {
    const written = await this.store(plainBytes);
    await this.logs.get(bucketId)!.append([], { added: [written.placement], released: [] });
    return written;
  }

  /** States a cut as of now, as the bridge does once nothing names these segments. */
  async cut(dropped: readonly WrittenSegment[]): Promise<void> {
    if (!this.logs.has(ACCOUNT_BUCKET_ID)) await this.openLog(ACCOUNT_BUCKET_ID);
    const { owner } = this.access;
    const { signal } = this.ended;
    const { view } = await fetchRoots(this.link, owner, signal);
    const heads: CutHead[] = [];
    for (const bucketId of view.sets.keys()) {
      const { logs } = await readHeads(this.link, { owner, bucketId, signal });
      heads.push(...logs.map(({ log, seq, hash }) => ({ bucketId, logId: log.logId, seq, hash })));
    }
    const ids = dropped.map(({ placement }) => placement.segmentId);
    const cut = signCut(this.farm.bridge, owner, this.clock.nowMs(), { heads, dropped: ids });
    await this.logs.get(ACCOUNT_BUCKET_ID)!.append([], { added: [], released: [], cuts: [cut] });
  }

  /** The bucket was deleted, and a cut covers its last state. */
  async dissolve(bucketId: BucketId): Promise<void> {
    const { owner } = this.access;
    const { signal } = this.ended;
    const { view, statements: known } = await fetchRoots(this.link, owner, signal);
    const set = view.sets.get(bucketId)!;
    const statement = dissolvedSet(this.farm.bridge, { owner, bucketId, set, nowMs: this.clock.nowMs() });
    await publishRoots(this.link, { owner, statements: [statement], known, signal });
  }

  /** The bridge's part after a loss: every replica set is made whole again. */
  async upkeep(): Promise<void> {
    const { owner } = this.access;
    const [keeper, { signal }] = [this.farm.bridge, this.ended];
    for (const [bucketId, log] of this.logs) {
      const wanted = (set: ReplicaSet) =>
        nextMemberChange({ set, farmers: this.link.farmers(), bucketId, promise: this.link.promise() });
      let isDone = false;
      while (!isDone) {
        const { epoch } = log.set();
        isDone = (await changeMember(this.link, { owner, bucketId, keeper, wanted, logs: [log], signal })).epoch === epoch;
      }
    }
  }

  /** Pieces only. */
  async store(plainBytes: number): Promise<WrittenSegment> {
    const config = this.farm.current();
    const scheme = config.redundancy;
    const sizeBytes = plainToCipherBytes(plainBytes);
    const number = this.#segments++;
    const segment = testSegment(scheme, sizeBytes, `segment ${number}`);
    const farmers = choosePlaces({
      farmers: config.roster.filter(({ state }) => state === 'Active'),
      count: scheme.total,
      f: 2,
      seed: `segment ${number}`,
    });
    const placement: SegmentPlacement = {
      segmentId: segmentId(segment.root, scheme, sizeBytes),
      secret: this.clock.random(32),
      scheme,
      sizeBytes,
      root: segment.root,
      farmers: Array.from({ length: scheme.total }, (_, index) => farmers[index] ?? null),
      createdMs: this.clock.nowMs(),
    };
    await Promise.all(farmers.map((farmer, pieceNumber) => this.putPiece(segment, placement, pieceNumber, farmer)));
    return { segment, placement };
  }

  async putPiece(segment: TestSegment, placement: SegmentPlacement, pieceNumber: number, to: PublicKey): Promise<void> {
    const piece = segment.pieces[pieceNumber]!;
    const path = rootPath(
      segment.pieceRoots.map((root) => fromHex(root)),
      pieceNumber,
    );
    const footer = copiedFooter({ segmentRoot: segment.root, index: pieceNumber, path }, segment.scheme.total);
    async function* body(): AsyncGenerator<Uint8Array> {
      yield piece;
      yield footer;
    }
    const link = this.#pieces(placement);
    await link.put({ pieceNumber, to }, () => segment.pieceRoots[pieceNumber]!, body(), this.ended.signal);
  }

  /** Placement entries that readers of this bucket find. */
  async placementsIn(bucketId: BucketId): Promise<number> {
    const { owner } = this.access;
    const state = await readHeads(this.link, { owner, bucketId, signal: this.ended.signal });
    let count = 0;
    const batches = readBatches(this.link, { state, since: new Map(), keys: {}, signal: this.ended.signal });
    for await (const { placements } of batches) count += placements.length;
    return count;
  }

  /** The piece as this farmer hands it out, checked; null where it doesn't. */
  async readPiece({ placement }: WrittenSegment, pieceNumber: number, farmer: PublicKey): Promise<Uint8Array | null> {
    const leaves: Uint8Array[] = [];
    try {
      const source = { pieceNumber, farmer, answers: true };
      for await (const leaf of this.#pieces(placement).read(source, 0, this.ended.signal)) leaves.push(leaf.slice());
      return Buffer.concat(leaves);
    } catch {
      return null;
    }
  }

  #pieces(placement: SegmentPlacement) {
    const { scheme, sizeBytes } = placement;
    const { pieceBytes } = segmentGeometry(sizeBytes, scheme.required);
    return segmentLink(this.link.network, this.link.addressOf, {
      ...placement,
      id: 0,
      owner: this.access.owner,
      pieceBytes,
      holders: [],
      attempts: 0,
      isInSeveralBuckets: false,
    });
  }

  /** A repairer process: with its own index and state, or with those in this folder. */
  startRepairer(
    options: { folder?: string; key?: KeyPair; limits?: Partial<RepairLimits>; events?: Partial<RepairEvents> } = {},
  ): RepairerHandle {
    const folder = options.folder ?? this.repairerFolder();
    const index = new SegmentIndex(join(folder, 'index.sqlite'));
    const states = new WriterStates(join(folder, 'logs.sqlite'));
    const self = options.key ?? this.farm.repairer;
    const ended = new AbortController();
    const failures: string[] = [];
    const repaired: RepairerHandle['repaired'] = [];
    const audits: RepairerHandle['audits'] = [];
    const network = this.farm.networkOf(self);
    const repair = new FarmRepair({
      network,
      self,
      index,
      states,
      config: this.farm.current(),
      runtime: this.clock,
      version: 'test',
      limits: { stallMs: 1500, retryMs: 20, ...options.limits },
      signal: ended.signal,
      events: {
        ownerFailed: (_, error) => failures.push(`owner: ${String(error)}`),
        audited: (_, audit) => audits.push(audit),
        compareFailed: (_, __, error) => failures.push(`compare: ${String(error)}`),
        repairFailed: (_, error) => failures.push(`repair: ${String(error)}`),
        repaired: (_, { pieces, copied }) => repaired.push({ pieces, copied }),
        ...options.events,
      },
    });
    const forget = this.farm.config.follow(this.farm.current(), (config) => repair.configure(config));
    const handle: RepairerHandle = {
      repair,
      index,
      failures,
      repaired,
      audits,
      async round() {
        await repair.askFarmers();
        const whole = await repair.scan();
        await repair.repairAllDue();
        return whole;
      },
      async stop() {
        forget();
        ended.abort();
        await repair.close();
        await network.close();
        index.close();
        states.close();
      },
    };
    this.#handles.push(handle);
    return handle;
  }

  repairerFolder(): string {
    return join(this.#folder, `repairer-${this.#folders++}`);
  }

  async stop(): Promise<void> {
    for (const handle of this.#handles) await handle.stop().catch(() => {});
    for (const log of this.logs.values()) await log.close().catch(() => {});
    this.ended.abort();
    await this.farm.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
