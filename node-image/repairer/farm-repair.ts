// One repairer at work on one farm: asks the farmers, reads the logs, repairs what is queued, reports.
// Five loops that share the index; each round is a method of its own, so that tests take them one by one.
import type { KeyPair } from '#node/core/keys.ts';
import { isOurTurn } from '#node/core/repair-turn.ts';
import type { FarmerFacts } from '#node/core/repair-plan.ts';
import { createClient, type Client } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView, type SettableFarmView } from '#node/client/farm-view.ts';
import type { FarmConfig, RosterMember } from '#node/interface/config.ts';
import type { FarmReport } from '#node/interface/status.ts';
import type { LogLink } from '#node/log/log-link.ts';
import type { Runtime } from '#node/log/runtime.ts';
import { CallError, type Network } from '#node/net/net.ts';
import type { Holdings } from '#node/wire/calls.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { askHoldings, askOwners, overAll } from './ask-farmers.ts';
import type { Audit } from './audit-farmer.ts';
import { AuditRounds } from './audit-rounds.ts';
import { Bandwidth } from './bandwidth.ts';
import { compareFarmer, type Comparison } from './compare-farmer.ts';
import { FarmerWatch, OFFLINE_AFTER_MS } from './farmer-watch.ts';
import { Judge } from './judge.ts';
import { Benches } from './piece-math.ts';
import { placementLogs, type PlacementLogs, type WriterStates } from './placement-logs.ts';
import { farmReport } from './report.ts';
import { repairMemory, type RepairDeps, type RepairOutcome } from './repair-segment.ts';
import { RepairWork } from './repair-work.ts';
import { tellMoves } from './tell-moves.ts';
import { scanOwner, ScanError, type OwnerFacts } from './scan-owner.ts';
import type { FarmerCounts } from './index-figures.ts';
import type { IndexedSegment, SegmentIndex } from './segment-index.ts';

export interface RepairLimits {
  offlineAfterMs: number;
  /** Between two questions to a farmer. */
  askEveryMs: number;
  /** Between two rounds through the logs; a round that takes longer makes the pause longer. */
  scanEveryMs: number;
  /** Without a leaf for this long, a farmer has failed. */
  stallMs: number;
  /** First wait before a segment is tried again; doubles up to 100 times this. */
  retryMs: number;
  segmentsAtOnce: number;
  /** Between two comparisons of all farmers' pieces with what the logs name; a long one makes the pause longer. */
  compareEveryMs: number;
  /** The same after a new cut. */
  compareSoonMs: number;
  /** Between two rounds of audits, one for each farmer. */
  auditEveryMs: number;
  /** A repairer of which nothing was heard for this long leaves its segments to the next one. */
  takeOverMs: number;
}
export const REPAIR_LIMITS: RepairLimits = {
  offlineAfterMs: OFFLINE_AFTER_MS,
  askEveryMs: 5_000,
  scanEveryMs: 5_000,
  stallMs: 20_000,
  retryMs: 3_000,
  segmentsAtOnce: 8,
  compareEveryMs: 5 * 60_000,
  compareSoonMs: 20_000,
  auditEveryMs: 5 * 60_000,
  takeOverMs: 60_000,
};
const FARMERS_AT_ONCE = 32;
const OWNERS_AT_ONCE = 4;
const COMPARED_AT_ONCE = 4;
const UNTOLD_MOVES_PAGE = 500;

/** What happened, for logs and metrics. */
export interface RepairEvents {
  scanned(facts: { tookMs: number; owners: number; failed: number }): void;
  ownerFailed(owner: PublicKey, error: unknown): void;
  compared(farmer: PublicKey, owner: PublicKey, comparison: Comparison): void;
  audited(farmer: PublicKey, audit: Audit): void;
  compareFailed(farmer: PublicKey, owner: PublicKey, error: unknown): void;
  repaired(segmentId: string, outcome: RepairOutcome, tookMs: number): void;
  repairFailed(segmentId: string, error: unknown): void;
  farmerFailed(farmer: PublicKey, as: 'source' | 'target', error: unknown): void;
}

export interface FarmRepairInput {
  network: Network;
  /** Ed25519 seed: signs placement logs and opens warrants. */
  self: KeyPair;
  index: SegmentIndex;
  states: WriterStates;
  config: FarmConfig;
  runtime: Runtime;
  version: string;
  events?: Partial<RepairEvents>;
  limits?: Partial<RepairLimits>;
  signal: AbortSignal;
}

export class FarmRepair {
  readonly #input: FarmRepairInput;
  readonly #limits: RepairLimits;
  readonly #farm: SettableFarmView;
  /** For the segments of checkpoints. */
  readonly #client: Client;
  readonly #link: LogLink;
  readonly #watch: FarmerWatch;
  readonly #judge: Judge;
  readonly #logs: PlacementLogs;
  readonly #bandwidth: Bandwidth;
  readonly #deps: RepairDeps;
  readonly #startedMs: number;
  readonly #holdings = new Map<PublicKey, Holdings>();
  readonly #owners = new Map<PublicKey, OwnerFacts>();
  /** Farmers that failed as a new holder lately: until when they get nothing. */
  readonly #avoid = new Map<PublicKey, number>();
  /** When each repairer wrote something last, as far as its logs are read. */
  readonly #heard = new Map<PublicKey, number>();
  readonly #audits: AuditRounds;
  readonly #work: RepairWork;
  #config: FarmConfig;
  #asked = false;
  #lastAskMs: number | null = null;
  #unwarranted = new Set<PublicKey>();
  #readThroughMs = 0;
  /** The last comparison, and the cuts that it went by. */
  #comparedBy = { atMs: 0, cuts: '' };
  #repairedPieces = 0;
  #repairedBytes = 0;

  constructor(input: FarmRepairInput) {
    const { network, runtime, self, states, signal, index } = input;
    this.#input = input;
    this.#limits = { ...REPAIR_LIMITS, ...input.limits };
    this.#config = input.config;
    this.#startedMs = runtime.nowMs();
    this.#farm = settableFarmView(farmSnapshot(input.config));
    this.#client = createClient({ network, farm: this.#farm, runtime, limits: { threads: 0 } });
    this.#link = this.#client.link;
    this.#watch = new FarmerWatch(this.#limits.offlineAfterMs);
    this.#judge = new Judge(index, this.#watch, runtime);
    this.#logs = placementLogs({ link: this.#link, self, states, signal });
    this.#bandwidth = new Bandwidth(runtime);
    this.#deps = {
      link: this.#link,
      index,
      judge: this.#judge,
      logs: this.#logs,
      bandwidth: this.#bandwidth,
      benches: new Benches(),
      memory: repairMemory(),
      farmers: () => this.#farmers(),
      warrantsOf: (owner) => this.#owners.get(owner)?.warrants ?? null,
      onFailed: (farmer, as, error) => this.#farmerFailed(farmer, as, error),
      stallMs: this.#limits.stallMs,
    };
    this.#audits = new AuditRounds({
      link: this.#link,
      index,
      watch: this.#watch,
      judge: this.#judge,
      bandwidth: this.#bandwidth,
      owners: () => this.#owners.keys(),
      onAudited: (farmer, audit) => input.events?.audited?.(farmer, audit),
      signal,
    });
    this.#work = new RepairWork({
      index,
      deps: this.#deps,
      runtime,
      limits: this.#limits,
      isReady: () => this.#asked,
      isOurs: (segment, nowMs) => this.#isOurs(segment, nowMs),
      onRepaired: (segmentId, outcome, tookMs) => {
        this.#repairedPieces += outcome.pieces;
        this.#repairedBytes += outcome.bytes;
        input.events?.repaired?.(segmentId, outcome, tookMs);
      },
      onFailed: (segmentId, error) => input.events?.repairFailed?.(segmentId, error),
      signal,
    });
    this.#apply(input.config);
  }

  /** A newer configuration holds at once, for what is planned from now on. */
  configure(config: FarmConfig): void {
    this.#farm.set(farmSnapshot(config));
    this.#apply(config);
    this.#input.index.queue.retryAll();
    this.#work.wake();
  }

  #apply(config: FarmConfig): void {
    this.#config = config;
    this.#watch.configure(config);
    this.#audits.followTrust();
    this.#bandwidth.setLimit(config.repairBytesPerSecond, config.repairers.length);
    for (const farmer of this.#holdings.keys()) if (!this.#watch.member(farmer)) this.#holdings.delete(farmer);
  }

  /** All loops, until the signal aborts. */
  async run(): Promise<void> {
    const { signal } = this.#input;
    const every = async (pauseMs: (tookMs: number) => number, round: () => Promise<unknown>) => {
      while (!signal.aborted) {
        const beganMs = this.#now();
        await round().catch((error: unknown) => {
          if (!signal.aborted) throw error;
        });
        await this.#pause(pauseMs(this.#now() - beganMs));
      }
    };
    await Promise.all([
      every(
        () => this.#limits.askEveryMs,
        () => this.askFarmers(),
      ),
      every(
        (tookMs) => Math.max(this.#limits.scanEveryMs, 2 * tookMs),
        () => this.scan(),
      ),
      every(
        () => 0,
        () => this.#work.startOrWait(),
      ),
      every(
        (tookMs) => Math.max(this.#limits.scanEveryMs, 10 * tookMs),
        () => this.#compareWhenDue(),
      ),
      every(
        // Before its first logs are read it knows no piece that could be asked for.
        () => (this.#readThroughMs === 0 ? this.#limits.scanEveryMs : this.#limits.auditEveryMs),
        () => this.audit(),
      ),
    ]);
  }

  async close(): Promise<void> {
    await this.#work.settled();
    await this.#logs.close();
    await this.#client.close();
  }

  // ---- asking -------------------------------------------------------------------------------

  /** One round: who answers, what each holds. Then the segments of farmers whose state changed are judged again. */
  async askFarmers(): Promise<void> {
    const { signal } = this.#input;
    const nowMs = this.#now();
    // Time that nobody listened (asleep, stopped) is no silence.
    const listenedMs = this.#lastAskMs === null ? 0 : Math.min(nowMs - this.#lastAskMs, 4 * this.#limits.askEveryMs);
    this.#lastAskMs = nowMs;
    await overAll(this.#reachable(), FARMERS_AT_ONCE, async ({ farmer, url }) => {
      try {
        this.#holdings.set(farmer, await askHoldings(this.#link, { farmer, url }, signal));
        this.#watch.heard(farmer, this.#now());
      } catch (error) {
        signal.throwIfAborted();
        // A refusal is an answer too.
        if (isSilence(error)) this.#watch.silent(farmer, listenedMs);
        else this.#watch.heard(farmer, this.#now());
      }
    });
    this.#asked = true;
    if (await this.#judge.followStates(signal)) this.#input.index.queue.retryAll();
    this.#work.wake();
  }

  #reachable(): RosterMember[] {
    return this.#watch.members().filter(({ state }) => state !== 'Lost');
  }

  // ---- scanning -----------------------------------------------------------------------------

  /** One round through all logs of all owners that warrant this repairer. True when everything was read. */
  async scan(): Promise<boolean> {
    const { index, self, signal, events } = this.#input;
    const beganMs = this.#now();
    const { owners, complete } = await this.#discover();
    const unwarranted = new Set<PublicKey>();
    let failed = 0;
    await overAll([...owners], OWNERS_AT_ONCE, async (owner) => {
      try {
        const judge = (ids: Iterable<number>) => this.#judge.judgeAll(ids);
        const heard = (repairer: PublicKey, atMs: number) =>
          void this.#heard.set(repairer, Math.max(atMs, this.#heard.get(repairer) ?? 0));
        const facts = await scanOwner({ client: this.#client, index, self, owner, judge, heard, nowMs: beganMs, signal });
        if (facts) this.#owners.set(owner, facts);
        else {
          this.#owners.delete(owner);
          unwarranted.add(owner);
        }
      } catch (error) {
        signal.throwIfAborted();
        failed++;
        // What was thrown away is read again from the start; until then nothing of it is repaired.
        if (error instanceof ScanError && error.code === 'Unsteady') {
          this.#owners.delete(owner);
          this.#readThroughMs = 0;
        }
        events?.ownerFailed?.(owner, error);
      }
    });
    for (const owner of this.#owners.keys()) if (!owners.has(owner)) this.#owners.delete(owner);
    this.#unwarranted = unwarranted;
    const whole = failed === 0 && complete;
    if (whole) {
      this.#readThroughMs = beganMs;
      await this.#tellUntold();
    }
    events?.scanned?.({ tookMs: this.#now() - beganMs, owners: this.#owners.size, failed });
    this.#work.wake();
    return whole;
  }

  /** Owners by their statements on the farmers, and those that the index knows. Complete = no owner can have hidden. */
  async #discover(): Promise<{ owners: Set<PublicKey>; complete: boolean }> {
    const { index, signal } = this.#input;
    const owners = new Set(index.owners());
    const farmers = this.#reachable();
    let silent = 0;
    await overAll(farmers, FARMERS_AT_ONCE, async ({ farmer, url }) => {
      try {
        for (const owner of await askOwners(this.#link, { farmer, url }, signal)) owners.add(owner);
      } catch {
        signal.throwIfAborted();
        silent++;
      }
    });
    // Statements lie on the nine farmers nearest to their owner: more than half of those answer.
    return { owners, complete: farmers.length > 0 && silent <= Math.floor(Math.min(9, farmers.length) / 2) };
  }

  /** Moves of segments that another bucket names as well: its readers must find them too. */
  async #tellUntold(): Promise<void> {
    const { index, signal } = this.#input;
    const failed = await tellMoves({ logs: this.#logs, index }, index.untoldMoves(UNTOLD_MOVES_PAGE), signal);
    for (const { owner, error } of failed) this.#input.events?.ownerFailed?.(owner, error);
  }

  // ---- comparing ----------------------------------------------------------------------------

  /** After a new cut soon, so that what was deleted makes room; else from time to time. */
  async #compareWhenDue(): Promise<void> {
    const { index } = this.#input;
    const cuts = [...this.#owners.keys()].map((owner) => index.cuts.applied(owner)?.cutMs ?? 0).join();
    const isNews = cuts !== this.#comparedBy.cuts;
    const { compareSoonMs, compareEveryMs } = this.#limits;
    if (this.#readThroughMs === 0 || this.#now() - this.#comparedBy.atMs < (isNews ? compareSoonMs : compareEveryMs)) return;
    this.#comparedBy = { atMs: this.#now(), cuts };
    await this.compare();
  }

  /** One round over all farmers that answer and all owners whose logs are read. */
  async compare(): Promise<void> {
    const { index, signal, events } = this.#input;
    const farmers = this.#reachable().filter(({ farmer }) => this.#watch.answers(farmer));
    await overAll(farmers, COMPARED_AT_ONCE, async ({ farmer, url }) => {
      for (const owner of this.#owners.keys()) {
        const heldPieces = this.#holdings.get(farmer)?.owners.find((one) => one.owner === owner)?.pieces ?? 0;
        if (heldPieces === 0 && index.inventory.count(owner, farmer) === 0) continue;
        try {
          const judge = (ids: Iterable<number>) => this.#judge.judgeAll(ids);
          const input = { link: this.#link, index, farmer: { farmer, url }, owner, heldPieces, judge, signal };
          const comparison = await compareFarmer(input);
          events?.compared?.(farmer, owner, comparison);
        } catch (error) {
          signal.throwIfAborted();
          events?.compareFailed?.(farmer, owner, error);
        }
      }
    });
    this.#work.wake();
  }

  // ---- auditing -----------------------------------------------------------------------------

  /** One leaf of one piece of each farmer. A failed one makes that piece suspect, and repair does the rest. */
  async audit(): Promise<void> {
    await this.#audits.round(this.#reachable());
    await this.#judge.followStates(this.#input.signal);
    this.#work.wake();
  }

  // ---- repairing ----------------------------------------------------------------------------

  #isOurs({ id, owner, segmentId }: IndexedSegment, nowMs: number): boolean | null {
    const facts = this.#owners.get(owner);
    if (!facts) return null;
    return isOurTurn({
      segmentId,
      repairers: facts.repairers,
      self: this.#input.self.publicKey,
      waitedMs: nowMs - this.#input.index.queue.sinceMs(id),
      silentMs: (repairer) => nowMs - (this.#heard.get(repairer) ?? 0),
      takeOverMs: this.#limits.takeOverMs,
    });
  }

  /** For tests: repairs until nothing is due now. */
  async repairAllDue(): Promise<void> {
    await this.#work.all();
  }

  #farmers(): FarmerFacts[] {
    const nowMs = this.#now();
    return this.#watch.members().map(({ farmer, domain }): FarmerFacts => {
      const freeBytes = this.#holdings.get(farmer)?.freeBytes;
      const avoided = (this.#avoid.get(farmer) ?? 0) > nowMs || this.#audits.trustOf(farmer).trust !== 'Trusted';
      return {
        farmer,
        domain,
        state: this.#watch.state(farmer),
        answers: this.#watch.answers(farmer),
        ...(avoided ? { freeBytes: 0 } : freeBytes === undefined ? {} : { freeBytes }),
      };
    });
  }

  #farmerFailed(farmer: PublicKey, as: 'source' | 'target', error: unknown): void {
    if (as === 'target') this.#avoid.set(farmer, this.#now() + 10 * this.#limits.retryMs);
    if ((error as { code?: unknown }).code === 'Unreachable') this.#watch.silent(farmer, 0);
    this.#input.events?.farmerFailed?.(farmer, as, error);
  }

  // ---- reporting ----------------------------------------------------------------------------

  report(): FarmReport {
    const { index, self, version } = this.#input;
    const warranted = new Set(this.#owners.keys());
    const holders = [...this.#holdings.values()].flatMap(({ owners }) => owners.map(({ owner }) => owner));
    const foreign = new Set([...this.#unwarranted, ...holders].filter((owner) => !warranted.has(owner)));
    return farmReport({
      version,
      repairer: self.publicKey,
      startedMs: this.#startedMs,
      nowMs: this.#now(),
      config: this.#config,
      readThroughMs: this.#asked ? this.#readThroughMs : 0,
      totals: index.figures.totals(),
      replicaSets: [...this.#owners.values()].flatMap(({ replicaSets }) => replicaSets),
      stateOf: (farmer) => this.#watch.presence(farmer),
      trustOf: (farmer) => this.#audits.trustOf(farmer),
      lastSeenMs: (farmer) => this.#watch.contact(farmer)?.lastSeenMs ?? 0,
      countsOf: (farmer) => this.#countsOf(farmer),
      holdingsOf: (farmer) => this.#holdings.get(farmer),
      warranted,
      ownersWithoutWarrant: foreign.size,
      repairedPieces: this.#repairedPieces,
      repairedBytes: this.#repairedBytes,
    });
  }

  /** Until its segments are judged by its new state, all pieces of a farmer that goes have to move: none may be missed. */
  #countsOf(farmer: PublicKey): FarmerCounts {
    const counts = this.#input.index.figures.ofFarmer(farmer);
    const goes = ['Leaving', 'Lost'].includes(this.#watch.state(farmer));
    return goes && !this.#judge.hasFollowed(farmer) ? { ...counts, piecesToMove: counts.pieces } : counts;
  }

  #now(): number {
    return this.#input.runtime.nowMs();
  }
  async #pause(ms: number): Promise<void> {
    if (ms > 0) await this.#input.runtime.sleep(ms, this.#input.signal).catch(() => {});
  }
}

/** No connection, no answer in time, or somebody else at that address. */
function isSilence(error: unknown): boolean {
  return !(error instanceof CallError) || ['Unreachable', 'WrongPeer', 'Aborted'].includes(error.code);
}
