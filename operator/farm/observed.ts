// What is, as plain facts: everything that the farm's decisions are made from. observe.ts alone fills it.
import type { TlsFact } from './tls.ts';
import type { LiveFarm } from '#operator/api.ts';
import type { Live } from '#operator/kube/resources.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import type { BridgeStatus, FarmerStatus, FarmReport } from '#node/interface/status.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { Contact } from '#operator/nodes.ts';

/** What holds for the whole operator. */
export interface Settings {
  installId: string;
  /** Namespace of the operator's own pods. */
  operatorNamespace: string;
  /** Image of new farms without spec.image. */
  nodeImage: string;
  /** acquireTime of our Lease. */
  epoch: number;
}

export type KeyRole = 'control' | 'bridge' | 'repairer';

/** A key Secret. Foreign: somebody else's Secret has the name. Broken: ours, but it holds no key. */
export type KeyFact = { state: 'Missing' } | { state: 'Foreign' | 'Broken' } | { state: 'Ours'; key: KeyPair };

export interface ConfigFact {
  config: FarmConfig;
  /** Install that made it. */
  installId: string;
}

export interface ZoneFact {
  zone: string;
  /** Of the spec. */
  replicas: number;
  image: string;
  partition: number;
  /** The controller has seen the newest spec. */
  isObserved: boolean;
  currentRevision: string;
  updateRevision: string;
  storageRequest: string;
}

export interface PodFact {
  name: string;
  uid: string;
  zone: string;
  ordinal: number;
  ip: string;
  nodeName: string;
  isReady: boolean;
  isTerminating: boolean;
  revision: string;
  /** Why it doesn't run, e.g. ImagePullBackOff, Unschedulable; empty when all is well. */
  trouble: string;
}

export interface VolumeFact {
  name: string;
  uid: string;
  zone: string;
  ordinal: number;
  /** spec.resources.requests.storage. */
  requestBytes: number;
  /** status.capacity.storage; 0 while it isn't bound. */
  capacityBytes: number;
  storageClassName: string;
  peerId: string;
  isDrained: boolean;
  isTerminating: boolean;
  isBound: boolean;
  /** Has the labels that name farm, zone and slot. */
  isLabelled: boolean;
  /** Reclaim policy of the volume behind it; empty = not known. */
  reclaimPolicy: string;
}

/** The pod of the bridge, or of one of the repairers. */
export interface ServerFact {
  podName: string;
  podUid: string;
  ip: string;
  isReady: boolean;
  trouble: string;
}

export interface Observed {
  farm: LiveFarm;
  nowMs: number;
  settings: Settings;
  config: ConfigFact | undefined;
  keys: Record<KeyRole, KeyFact>;
  zones: ZoneFact[];
  pods: PodFact[];
  volumes: VolumeFact[];
  bridgeVolume: VolumeFact | undefined;
  bridge: ServerFact | undefined;
  /** By number; the first reports. */
  repairers: readonly (ServerFact | undefined)[];
  bridgeImage: string;
  /** ClusterIP of the bridge's Service; empty while there is none. */
  bridgeAddress: string;
  tls: TlsFact;
  budget: number | undefined;
  /** Identity of each Ready farmer pod, by pod uid. */
  contacts: ReadonlyMap<string, Contact>;
  bridgeStatus: BridgeStatus | undefined;
  /** Fresh, of this farm; absent or stale = undefined = hold. */
  report: FarmReport | undefined;
  /** Status of Leaving farmers that answered, by public key. */
  leaving: ReadonlyMap<string, FarmerStatus>;
  /** Farmer → generation under which it was first published as Leaving (as far as this process knows). */
  leavingSince: ReadonlyMap<string, number>;
  /** Farmer → `atMs` of the report when everything had become quiet; proofs must have read beyond it. */
  drainFloors: ReadonlyMap<string, number>;
  /** Live children by `Kind/name`, for apply. */
  children: ReadonlyMap<string, Live>;
}

export const childKey = (kind: string, name: string): string => `${kind}/${name}`;
