// Nodes without processes: identities that live on volumes, a bridge that keeps claims, a repairer that moves pieces,
// all by the rules of the contract (node-image/interface). The data is a list of segments and their holders.
import { createHash } from 'node:crypto';
import type { BridgeDesired, FarmConfig, RosterMember, GrantOrder } from '#node/interface/config.ts';
import type { BridgeStatus, FarmerStatus, FarmReport } from '#node/interface/status.ts';
import type { NodeAddress, Nodes } from '#operator/nodes.ts';
import { peerIdOf } from '#node/core/ids.ts';
import { entropyFromWords, keyPairFromSeed, ownerFromEntropy } from '#node/core/keys.ts';
import { promiseOf, schemeText } from '#node/core/schemes.ts';
import { repairerName } from '#operator/farm/names.ts';
import { NodeError } from '#operator/nodes.ts';

const AUDITED = { auditScore: 0.9, suspensionScore: 1, onlineScore: 1, audits: 1000, failedAudits: 100 };

interface StubSegment {
  required: number;
  optimal: number;
  holders: Set<string>;
}

export interface StubOptions {
  /** UID of the claim behind a farmer's pod; undefined where the pod isn't there. */
  volumeUidOf(pod: string): Promise<string | undefined> | string | undefined;
  /** What the mounted ConfigMap holds now: how nodes that weren't told learn of it. */
  mountedConfig(): Promise<FarmConfig | undefined> | FarmConfig | undefined;
  nowMs(): number;
}

export interface StubNodes extends Nodes {
  segments: StubSegment[];
  /** Claims and keys as the bridge has them. */
  bridge: {
    desired: BridgeDesired | undefined;
    owners: Set<string>;
    deleted: string[];
    grants: GrantOrder[];
    grantsFromMs: number;
  };
  /** Pods that don't answer. */
  silent: Set<string>;
  /** The repairer moves nothing while false. */
  repairs: boolean;
  /** The bridge brings no segment to another scheme while false. */
  rewrites: boolean;
  /** The bridge takes no new configuration while true. */
  isBridgeStuck: boolean;
  unwarranted: Map<string, number>;
  /** Farmers that failed their audits, by the repairer's scores. */
  failing: Set<string>;
  configs: Map<string, FarmConfig>;
  /** Identity on a volume. */
  farmerOn(volumeUid: string): string;
  /** Stores a segment on the given number of Active farmers of the newest roster. */
  put(required: number, pieces: number): StubSegment;
  /** Everybody has had his turn: mounted configuration read, one round of repair. */
  tick(): Promise<void>;
  report(): FarmReport;
}

const isNewer = (a: { epoch: number; generation: number }, b: { epoch: number; generation: number } | undefined): boolean =>
  b === undefined || a.epoch > b.epoch || (a.epoch === b.epoch && a.generation >= b.generation);

export function createStubNodes(options: StubOptions): StubNodes {
  const cordoned = new Map<string, number>();
  let reportMs = 0;
  const must = ({ pod }: NodeAddress): void => {
    if (stub.silent.has(pod)) throw new NodeError('Unreachable', `${pod} doesn't answer`);
  };
  const newest = (): FarmConfig | undefined =>
    [...stub.configs.values()].reduce<FarmConfig | undefined>((best, one) => (isNewer(one, best) ? one : best), undefined);
  const roster = (): RosterMember[] => newest()?.roster ?? [];
  const stateOf = (farmer: string): RosterMember['state'] => roster().find((one) => one.farmer === farmer)?.state ?? 'Lost';
  const active = (): string[] =>
    roster()
      .filter(({ state }) => state === 'Active')
      .map(({ farmer }) => farmer);
  const others = (segment: StubSegment, farmer: string): number =>
    [...segment.holders].filter((one) => one !== farmer && stateOf(one) === 'Active').length;
  const bridgeConfig = (): FarmConfig | undefined => stub.configs.get('bridge');
  const common = (config: FarmConfig | undefined) => ({
    version: 'stub',
    farmUid: config?.farmUid ?? '',
    epoch: config?.epoch ?? 0,
    generation: config?.generation ?? 0,
    startedMs: 1,
  });

  const nameOf = ({ required, optimal }: StubSegment): string =>
    schemeText({ required, repair: Math.max(required, optimal - 1), optimal, total: optimal });
  /** One segment at a time, onto farmers that stay. */
  const rewrite = (): void => {
    const config = bridgeConfig();
    if (!config?.rewrite || !stub.rewrites || active().length < config.redundancy.optimal) return;
    const { required, optimal } = config.redundancy;
    const other = stub.segments.find((one) => one.required !== required || one.optimal !== optimal);
    if (other) Object.assign(other, { required, optimal, holders: new Set(active().slice(0, optimal)) });
  };

  const stub: StubNodes = {
    segments: [],
    bridge: { desired: undefined, owners: new Set(), deleted: [], grants: [], grantsFromMs: 0 },
    silent: new Set(),
    repairs: true,
    rewrites: true,
    isBridgeStuck: false,
    unwarranted: new Map(),
    failing: new Set(),
    configs: new Map(),
    farmerOn: (volumeUid) => keyPairFromSeed(new Uint8Array(createHash('sha256').update(volumeUid).digest())).publicKey,
    put(required, pieces) {
      const segment = { required, optimal: pieces, holders: new Set(active().slice(-pieces)) };
      if (segment.holders.size < pieces) throw new Error(`only ${segment.holders.size} farmers are active`);
      stub.segments.push(segment);
      return segment;
    },
    async tick() {
      const mounted = await options.mountedConfig();
      for (const [node, config] of stub.configs) if (mounted && mounted.farmUid !== config.farmUid) stub.configs.delete(node);
      for (const node of stub.isBridgeStuck ? ['repairer'] : ['bridge', 'repairer']) {
        if (mounted && isNewer(mounted, stub.configs.get(node))) stub.configs.set(node, mounted);
      }
      rewrite();
      if (!stub.repairs) return;
      for (const segment of stub.segments) {
        for (const farmer of segment.holders) {
          if (stateOf(farmer) === 'Active') continue;
          const free = active().find((one) => !segment.holders.has(one));
          // Copied or rebuilt: the old holder keeps its piece, if it is still there.
          if (free !== undefined && others(segment, farmer) < segment.optimal) segment.holders.add(free);
        }
      }
    },
    report() {
      const config = stub.configs.get('repairer');
      const f = config ? promiseOf(config.redundancy) : 0;
      const healthy = stub.segments.map((one) => ({
        one,
        count: [...one.holders].filter((farmer) => stateOf(farmer) !== 'Lost').length,
      }));
      const margin = healthy.reduce((least, { one, count }) => Math.min(least, count - one.required), f);
      const missing = healthy.filter(({ one, count }) => count < one.optimal).length;
      reportMs += 1000;
      return {
        ...common(config),
        role: 'repairer',
        repairer: config?.repairers[0]?.repairer ?? '',
        atMs: reportMs,
        readThroughMs: reportMs - 1,
        state: !config
          ? 'Unknown'
          : healthy.some(({ one, count }) => count < one.required)
            ? 'Unreadable'
            : margin < 0 || missing > 0
              ? 'Degraded'
              : 'Healthy',
        margin,
        segments: stub.segments.length,
        segmentsAtRisk: healthy.filter(({ one, count }) => count <= one.required).length,
        segmentsQueued: missing,
        segmentsCrowded: 0,
        segmentsUnreadable: healthy.filter(({ one, count }) => count < one.required).length,
        segmentsByScheme: Object.fromEntries(
          stub.segments.map(nameOf).map((name, _, all): [string, number] => [name, all.filter((one) => one === name).length]),
        ),
        repairedPieces: 0,
        repairedBytes: 0,
        farmers: roster().map(({ farmer, state, slot }) => ({
          farmer,
          state: state === 'Active' ? (stub.silent.has(slot) ? 'Offline' : 'Online') : state,
          lastSeenMs: reportMs,
          pieces: stub.segments.filter(({ holders }) => holders.has(farmer)).length,
          pieceBytes: 1000 * stub.segments.filter(({ holders }) => holders.has(farmer)).length,
          piecesToMove: stub.segments.filter((one) => one.holders.has(farmer) && others(one, farmer) < one.optimal).length,
          replicaSets: 0,
          unwarrantedPieces: stub.unwarranted.get(farmer) ?? 0,
          cordonedMs: cordoned.get(farmer) ?? null,
          ...(stub.failing.has(farmer) ? { audits: { ...AUDITED, trust: 'Distrusted' as const } } : {}),
        })),
        ownersWithoutWarrant: 0,
      };
    },
    async firstContact(address) {
      must(address);
      const uid = await options.volumeUidOf(address.pod);
      if (uid === undefined) throw new NodeError('Unreachable', `${address.pod} has no volume`);
      const farmer = stub.farmerOn(uid);
      return { farmer, peerId: peerIdOf(farmer) };
    },
    async farmerStatus(address): Promise<FarmerStatus> {
      must(address);
      const farmer = stub.farmerOn((await options.volumeUidOf(address.pod)) ?? '');
      const config = stub.configs.get(address.pod);
      return {
        ...common(config),
        role: 'farmer',
        farmer,
        peerId: peerIdOf(farmer),
        slot: address.pod,
        multiaddrs: [],
        ready: true,
        reason: '',
        cordonedMs: cordoned.get(farmer) ?? null,
        transfersInFlight: 0,
        lastTransferMs: 0,
        liveBytes: 0,
        trashBytes: 0,
        freeBytes: 1e9,
        pieces: 0,
        logs: 0,
      };
    },
    async bridgeStatus(address): Promise<BridgeStatus> {
      must(address);
      const config = bridgeConfig();
      const { desired, owners } = stub.bridge;
      return {
        ...common(config),
        role: 'bridge',
        bridge: config?.bridges[0] ?? '',
        ready: true,
        reason: '',
        bucketsGeneration: desired?.generation ?? 0,
        oldestTransferGeneration: config?.generation ?? 0,
        owners: [...owners],
        buckets: (desired?.buckets ?? []).map(({ claim, bucketName, owner }) => ({
          claim,
          bucketName,
          owner,
          state: owners.has(owner) ? ('Ready' as const) : ('OwnerUnknown' as const),
          message: '',
          usedBytes: 0,
          objects: 0,
          grantsFromMs: stub.bridge.grantsFromMs,
        })),
        writable: active().length > promiseOf(config?.redundancy ?? { required: 1, repair: 1, optimal: 1, total: 1 }),
      };
    },
    async farmReport(address) {
      must(address);
      return stub.report();
    },
    async putConfig(address, control, config) {
      must(address);
      if (control.publicKey !== config.controlKey) throw new NodeError('Refused', 'not the control key', { status: 403 });
      const repairer = config.repairers.findIndex((one) => one.repairer === address.identity);
      const node = address.identity === config.bridges[0] ? 'bridge' : repairer >= 0 ? repairerName(repairer) : address.pod;
      if (node === 'bridge' && stub.isBridgeStuck) throw new NodeError('Unreachable', 'the bridge is busy');
      const known = stub.configs.get(node);
      if (known?.farmUid === config.farmUid && !isNewer(config, known))
        throw new NodeError('Refused', 'an older generation', { status: 409 });
      stub.configs.set(node, config);
      const own = config.roster.find(({ slot, state }) => slot === address.pod && state !== 'Lost');
      if (!own) return;
      if (own.state === 'Leaving') cordoned.set(own.farmer, cordoned.get(own.farmer) ?? options.nowMs());
      else cordoned.delete(own.farmer);
    },
    async putBuckets(address, _control, desired) {
      must(address);
      const known = stub.bridge.desired;
      if (known?.farmUid === desired.farmUid && !isNewer(desired, known))
        throw new NodeError('Refused', 'an older list', { status: 409 });
      stub.bridge.desired = desired;
    },
    async postOwner(address, _control, words) {
      must(address);
      const owner = ownerFromEntropy(entropyFromWords(words)).keyPair.publicKey;
      stub.bridge.owners.add(owner);
      return owner;
    },
    async postGrant(address, _control, order) {
      must(address);
      const issuedMs = options.nowMs();
      const number = stub.bridge.grants.push(order);
      return { grant: `sj-grant/1:${order.bucketName}-${number}`, issuedMs, renewMs: issuedMs + 15 * 24 * 3_600_000 };
    },
    async deleteBucket(address, _control, { bucketName }) {
      must(address);
      stub.bridge.deleted.push(bucketName);
    },
  };
  return stub;
}
