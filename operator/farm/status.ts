// Pure: the farm's status, computed from facts and written once at the end of each pass, always. Conditions are a
// table: one row, one function.
import type { StorjFarmStatus } from '#crds/types.ts';
import type { RosterMember } from '#node/interface/config.ts';
import type { Observed } from './observed.ts';
import type { Plan, Problem } from './plan.ts';
import { mergeConditions, statusOf, timeText, type Verdict } from '#operator/conditions.ts';
import { bytesText, rounded } from '#operator/quantity.ts';
import { defaultScheme, isUnder, promiseOf, schemeOfText, schemeText } from '#node/core/schemes.ts';
import { selectorOf } from './desired/common.ts';
import { keySecretName } from './desired/key-secret.ts';
import { endpointOf } from './tls.ts';
import { biggerThan, stillResizing } from './volumes.ts';

export interface StatusInput {
  observed: Observed;
  /** Undefined while something stalls before there is a plan. */
  plan: Plan | undefined;
  stalled: Problem | undefined;
  /** Nodes that haven't taken the configuration yet. */
  untold: readonly string[];
  /** Why a size was refused, by volume name. */
  refusedSizes: ReadonlyMap<string, string>;
  /** Numbers that move by themselves may be written again. */
  mayWriteNumbers: boolean;
}

/** Problems that the user must mend, in the order in which they are shown. */
export function problemOf({ observed, plan, stalled }: Pick<StatusInput, 'observed' | 'plan' | 'stalled'>): Problem | undefined {
  if (stalled) return stalled;
  if (observed.tls.state === 'Broken') return { reason: 'TlsSecretBroken', message: observed.tls.message };
  if (plan?.redundancyProblem?.reason === 'RedundancyUnmet') return plan.redundancyProblem;
  if (plan?.shrinkHeld && plan.shrinkHeld.reason !== 'SegmentsRewriting')
    return { ...plan.shrinkHeld, reason: 'ScaleDownBlocked' };
  const unwarranted = plan?.leaving.find(({ step }) => !step.done && step.waitsFor.includes('without a warrant'));
  if (unwarranted && !unwarranted.step.done) {
    return { reason: 'ScaleDownBlocked', message: `${unwarranted.member.slot} holds ${unwarranted.step.waitsFor}.` };
  }
  const duplicate = plan?.duplicates[0];
  if (!duplicate) return undefined;
  return {
    reason: 'DuplicateIdentity',
    message: `${duplicate.slot} runs the identity ${duplicate.farmer}, which is already in another slot: its volume is a copy. Delete that volume and its pod.`,
  };
}

export function farmStatus(input: StatusInput): StorjFarmStatus {
  const { observed, plan } = input;
  const { farm, pods, zones } = observed;
  const before = farm.status;
  const generation = farm.metadata.generation ?? 0;
  const wanted = farm.spec.farmers.replicas;
  const ready = pods.filter(({ isReady }) => isReady).length;
  const image = plan?.image ?? before?.image;
  const { nodeImage } = observed.settings;
  const conditions = mergeConditions(verdicts(input), before?.conditions, generation, timeText(observed.nowMs));
  const selector = Object.entries(selectorOf(farm.metadata.name, 'farmer')).map(([name, value]) => `${name}=${value}`);
  return {
    observedGeneration: generation,
    replicas: pods.length,
    selector: selector.join(','),
    ...(plan ? { redundancy: plan.config.redundancy } : {}),
    ...(image === undefined ? {} : { image }),
    ...(image !== undefined && image !== nodeImage ? { availableImage: nodeImage } : {}),
    zones: zones.map(({ zone, replicas }) => ({
      name: zone,
      replicas,
      ready: pods.filter((pod) => pod.zone === zone && pod.isReady).length,
    })),
    farmers: plan ? farmersOf(observed, plan) : [],
    data: dataOf(observed),
    endpoints: observed.bridgeAddress === '' ? {} : { s3: endpointOf(farm, observed.tls, observed.bridgeAddress) },
    summary: {
      farmers: `${ready}/${wanted}`,
      capacity: steadyCapacity(before?.summary?.capacity, capacityOf(observed), input.mayWriteNumbers),
    },
    conditions,
  };
}

function dataOf({ report }: Observed): NonNullable<StorjFarmStatus['data']> {
  if (!report) return { state: 'Unknown' };
  return { state: report.state, segmentsAtRisk: report.segmentsAtRisk, margin: report.margin };
}

/** The share moves by itself and waits for its time; the size doesn't. */
function steadyCapacity(before: string | undefined, now: string, mayWriteNumbers: boolean): string {
  const sizeIn = (text: string): string => text.split(' ').slice(1).join(' ');
  return before === undefined || mayWriteNumbers || sizeIn(before) !== sizeIn(now) ? now : before;
}

function capacityOf({ report, volumes }: Observed): string {
  // What was left with proof is kept, but stores nothing.
  const bytes = volumes.filter(({ isDrained }) => !isDrained).reduce((sum, volume) => sum + volume.capacityBytes, 0);
  if (bytes === 0) return '';
  if (!report) return bytesText(bytes);
  const used = report.farmers.reduce((sum, farmer) => sum + farmer.pieceBytes, 0);
  return `${Math.round((100 * used) / bytes)}% of ${bytesText(bytes)}`;
}

const maxFarmers = 50;

function farmersOf(observed: Observed, plan: Plan): NonNullable<StorjFarmStatus['farmers']> {
  const { report, farm, pods } = observed;
  const now = timeText(observed.nowMs);
  const rows = plan.config.roster.flatMap((member): NonNullable<StorjFarmStatus['farmers']> => {
    const entry = report?.farmers.find(({ farmer }) => farmer === member.farmer);
    const state = standing(member, entry?.state);
    if (state === '') return [];
    const old = farm.status?.farmers?.find(({ peerId, state: was }) => peerId === member.peerId && was === state);
    const perPiece = entry && entry.pieces > 0 ? entry.pieceBytes / entry.pieces : 0;
    return [
      {
        name: member.slot,
        zone: member.zone,
        peerId: member.peerId,
        state,
        ...(entry ? { remainingBytes: rounded(Math.ceil(entry.piecesToMove * perPiece)) } : {}),
        since: old?.since ?? now,
        reason: reasonOf(member, state, plan),
      },
    ];
  });
  const met = new Set(plan.config.roster.filter(({ state }) => state !== 'Lost').map(({ slot }) => slot));
  const waiting = pods
    .filter((pod) => !met.has(pod.name) && !pod.isTerminating)
    .map((pod) => {
      const old = farm.status?.farmers?.find(({ name, state }) => name === pod.name && state === 'Waiting');
      return { name: pod.name, zone: pod.zone, state: 'Waiting', since: old?.since ?? now, reason: pod.trouble || 'starting' };
    });
  return [...rows, ...waiting].slice(0, maxFarmers);
}

function standing({ state, distrusted }: RosterMember, reported: string | undefined): string {
  if (state !== 'Active') return state;
  if (distrusted) return 'Distrusted';
  return reported === 'Offline' || reported === 'Lost' ? reported : '';
}

function reasonOf(member: RosterMember, state: string, plan: Plan): string {
  if (state === 'Distrusted')
    return `it failed its audits and gets nothing new; replace its disk: kubectl delete pvc/data-${member.slot} pod/${member.slot}`;
  if (state === 'Lost') return 'its volume or its answer is gone; its pieces are being made anew';
  if (state === 'Offline') return "it doesn't answer";
  const step = plan.leaving.find((one) => one.member.farmer === member.farmer)?.step;
  return step && !step.done ? `waits for ${step.waitsFor}` : 'everything has moved';
}

type Row = (input: StatusInput) => Verdict | undefined;

const rows: Row[] = [
  ready,
  reconciling,
  stalled,
  dataHealthy,
  draining,
  rewriting,
  storageResizing,
  sizeBelowActual,
  domainSpread,
  paused,
  secretsToSave,
];

function verdicts(input: StatusInput): Verdict[] {
  return rows.flatMap((row) => row(input) ?? []);
}

function ready(input: StatusInput): Verdict {
  const why = unreadiness(input);
  if (why) return { type: 'Ready', status: 'False', ...why };
  return { type: 'Ready', status: 'True', reason: 'Serving', message: 'S3 answers and writes keep the promise.' };
}

/** Farmers that would take a piece now. */
function acceptingFarmers({ pods }: Observed, plan: Plan): number {
  const isUp = new Map(pods.map((pod) => [pod.name, pod.isReady]));
  return plan.config.roster.filter(({ state, slot }) => state === 'Active' && isUp.get(slot)).length;
}

function unreadiness(input: StatusInput): { reason: string; message: string } | undefined {
  const { observed, plan } = input;
  const { spec, status } = observed.farm;
  if (!plan)
    return { reason: input.stalled?.reason ?? 'Starting', message: input.stalled?.message ?? 'The farm is being looked at.' };
  const scheme = spec.redundancy ?? defaultScheme(spec.farmers.replicas);
  const promise = promiseOf(scheme);
  const isUp = statusOf(status?.conditions, 'Ready') === 'True';
  // At first as many as a whole segment wants; from then on as many as keep the promise.
  const needed = isUp ? promise + 1 : Math.min(scheme.optimal, spec.farmers.replicas);
  const accepting = acceptingFarmers(observed, plan);
  if (accepting < needed) {
    const trouble = observed.pods.find((pod) => pod.trouble !== '');
    return {
      reason: 'FarmersMissing',
      message: `${accepting} farmers accept writes, ${needed} are needed${trouble ? `; ${trouble.name}: ${trouble.trouble}` : ''}.`,
    };
  }
  if (spec.bridge.replicas === 0)
    return { reason: 'BridgeOff', message: 'spec.bridge.replicas is 0: no S3 until it is 1 again.' };
  if (!observed.bridgeStatus) {
    const trouble = observed.bridge?.trouble;
    return { reason: 'BridgeDown', message: `The bridge doesn't answer${trouble ? `: ${trouble}` : ' yet'}.` };
  }
  if (!observed.bridgeStatus.ready) return { reason: 'BridgeNotReady', message: observed.bridgeStatus.reason };
  if (!observed.bridgeStatus.writable) {
    return { reason: 'NotWritable', message: 'The bridge reaches too few farmers to acknowledge writes.' };
  }
  return undefined;
}

function reconciling(input: StatusInput): Verdict | undefined {
  const doing = workOf(input);
  if (doing === undefined) return undefined;
  return { type: 'Reconciling', status: 'True', reason: 'Progressing', message: doing };
}

/** What is under way; undefined = nothing. */
export function workOf({ observed, plan, untold }: StatusInput): string | undefined {
  const { farm, pods } = observed;
  if (!plan || farm.spec.paused) return undefined;
  const wanted = farm.spec.farmers.replicas;
  if (plan.leaving.length > 0) return `${plan.leaving.length} farmers are leaving.`;
  if (plan.shrinkHeld?.reason === 'SegmentsRewriting') return plan.shrinkHeld.message;
  if (plan.toGo > 0 && !plan.shrinkHeld) return `${plan.toGo} farmers have to go.`;
  const met = plan.config.roster.filter(({ state }) => state !== 'Lost').length;
  if (met < wanted) return `${met} of ${wanted} farmers have joined.`;
  const down = pods.filter(({ isReady }) => !isReady).length;
  if (pods.length < wanted || down > 0) return `${pods.length - down} of ${wanted} farmers are ready.`;
  if (plan.rollout.outdated > 0) {
    return `${plan.rollout.outdated} farmers still run the old template${plan.rollout.waitsFor ? `; waits for ${plan.rollout.waitsFor}` : ''}.`;
  }
  if (untold.length > 0) return `${untold.join(', ')} must take the configuration.`;
  if (farm.spec.bridge.replicas > 0 && !observed.bridgeStatus) return 'The bridge is starting.';
  return undefined;
}

function stalled(input: StatusInput): Verdict | undefined {
  const problem = problemOf(input);
  return problem && { type: 'Stalled', status: 'True', ...problem };
}

function dataHealthy({ observed: { report, farm } }: StatusInput): Verdict {
  const type = 'DataHealthy';
  if (!report) {
    const why = farm.spec.repair.replicas === 0 ? 'spec.repair.replicas is 0.' : 'No fresh report of the repairer.';
    return { type, status: 'Unknown', reason: 'NoReport', message: why };
  }
  if (report.state === 'Healthy') {
    return { type, status: 'True', reason: 'Healthy', message: 'All segments and logs have what they should.' };
  }
  const numbers = `${report.segmentsQueued} segments wait for repair, ${report.segmentsAtRisk} have none to spare, ${report.segmentsUnreadable} can't be read now.`;
  const remedy = report.state === 'Unreadable' ? ' Bring back farmers whose volumes still exist.' : '';
  return { type, status: 'False', reason: report.state, message: `${numbers}${remedy}` };
}

function draining({ plan }: StatusInput): Verdict | undefined {
  if (!plan || plan.leaving.length === 0) return undefined;
  const lines = plan.leaving
    .slice(0, 8)
    .map(({ member, step }) => `${member.slot}: ${step.done ? 'everything has moved' : `waits for ${step.waitsFor}`}`);
  return {
    type: 'Draining',
    status: 'True',
    reason: 'FarmersLeaving',
    message: `${lines.join('; ')}. To cancel, set spec.farmers.replicas back.`,
  };
}

/** Segments under another scheme than the one in force, while the bridge brings them to it. */
function rewriting({ plan, observed: { report } }: StatusInput): Verdict | undefined {
  if (!plan?.config.rewrite || !report) return undefined;
  const { redundancy } = plan.config;
  const others = Object.entries(report.segmentsByScheme).filter(([text, segments]) => {
    const scheme = schemeOfText(text);
    return segments > 0 && scheme !== null && !isUnder(scheme, redundancy);
  });
  if (others.length === 0) return undefined;
  const parts = others.slice(0, 5).map(([text, segments]) => `${rounded(segments)} under ${text}`);
  return {
    type: 'Rewriting',
    status: 'True',
    reason: 'OtherScheme',
    message: `The bridge brings segments to ${schemeText(redundancy)}: ${parts.join(', ')}.`,
  };
}

function storageResizing({ observed, plan, refusedSizes }: StatusInput): Verdict | undefined {
  const type = 'StorageResizing';
  const [refused] = refusedSizes;
  if (refused) {
    return {
      type,
      status: 'False',
      reason: 'ResizeRefused',
      message: `${refused[0]}: ${refused[1]} Set spec.farmers.storage.size back, or use a StorageClass that allows growing.`,
    };
  }
  // Those that were asked just now look as before in what was observed.
  const asked = observed.farm.spec.paused ? [] : (plan?.volumes.patch.filter(({ size }) => size !== undefined) ?? []);
  const names = [...new Set([...stillResizing(observed.volumes), ...asked].map(({ name }) => name))];
  if (names.length === 0) return undefined;
  const some = names.slice(0, 5).join(', ');
  return { type, status: 'True', reason: 'Resizing', message: `${names.length} volumes are growing: ${some}.` };
}

function sizeBelowActual({ observed: { farm, volumes } }: StatusInput): Verdict | undefined {
  const { size } = farm.spec.farmers.storage;
  const bigger = biggerThan(size, volumes);
  if (bigger.length === 0) return undefined;
  return {
    type: 'SizeBelowActual',
    status: 'True',
    reason: 'VolumesAreBigger',
    message: `${bigger.length} volumes are bigger than ${size}; volumes never shrink, so they stay as they are.`,
  };
}

function domainSpread({ plan, observed: { report } }: StatusInput): Verdict | undefined {
  if (!plan) return undefined;
  const type = 'DomainSpread';
  const { roster, redundancy } = plan.config;
  const promise = promiseOf(redundancy);
  if (promise === 0) {
    return {
      type,
      status: 'False',
      reason: 'NoPromise',
      message: 'With this redundancy no farmer may be lost: use at least 2 farmers, better 6.',
    };
  }
  const sizes = new Map<string, number>();
  for (const { state, domain } of roster) if (state === 'Active') sizes.set(domain, (sizes.get(domain) ?? 0) + 1);
  const places = [...sizes.values()].reduce((sum, size) => sum + Math.min(size, promise), 0);
  const crowded = report?.segmentsCrowded ?? 0;
  if (places >= redundancy.total && crowded > 0) {
    return {
      type,
      status: 'False',
      reason: 'Spreading',
      message: `${rounded(crowded)} segments have more than ${promise} pieces in one failure domain; the repairer copies them to others.`,
    };
  }
  if (places >= redundancy.total) {
    return {
      type,
      status: 'True',
      reason: 'Spread',
      message: `No failure domain holds more than ${promise} pieces of a segment.`,
    };
  }
  return {
    type,
    status: 'False',
    reason: 'TooFewDomains',
    message: `${sizes.size} failure domains can't hold ${redundancy.total} pieces with at most ${promise} each, so losing one may lose data: add zones or Kubernetes nodes.`,
  };
}

function paused({ observed: { farm } }: StatusInput): Verdict | undefined {
  if (!farm.spec.paused) return undefined;
  return { type: 'Paused', status: 'True', reason: 'SpecPaused', message: 'Nothing is changed until spec.paused is false.' };
}

function secretsToSave({ observed }: StatusInput): Verdict {
  const { name, namespace } = observed.farm.metadata;
  const names = (['control', 'bridge', 'repairer'] as const).map((role) => keySecretName(name, role));
  const unsafe = observed.volumes.filter(({ reclaimPolicy }) => reclaimPolicy !== 'Retain').length;
  const volumes =
    unsafe === 0
      ? ''
      : ` It takes ${unsafe} volumes along too, because their reclaim policy isn't (known to be) Retain: kubectl patch pv NAME -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'.`;
  return {
    type: 'NamespaceHoldsKeys',
    status: 'True',
    reason: 'SaveSecrets',
    message: `Deleting the namespace deletes the farm's keys. Save them elsewhere: kubectl -n ${namespace} get secret ${names.join(' ')} -o yaml.${volumes}`,
  };
}
