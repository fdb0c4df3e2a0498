// The port to the nodes (farmers, bridge, repairer): everything the operator asks of them. node-https.ts talks to
// real ones; tests hand in stubs.
import type { BridgeDesired, FarmConfig, GrantAnswer, GrantOrder } from '#node/interface/config.ts';
import type { BridgeStatus, FarmerStatus, FarmReport } from '#node/interface/status.ts';
import type { KeyPair } from '#node/core/keys.ts';

/** A pod, as it is dialled. `identity` is who must answer; without it whoever does is taken at his certificate's word. */
export interface NodeAddress {
  pod: string;
  host: string;
  identity?: string;
}

export type NodeErrorCode = 'Unreachable' | 'WrongPeer' | 'Refused' | 'BadAnswer';

/** A node that didn't answer as it should. `Refused` = it answered with an error status. */
export class NodeError extends Error {
  readonly code: NodeErrorCode;
  readonly status: number;

  constructor(code: NodeErrorCode, message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'NodeError';
    this.code = code;
    this.status = options.status ?? 0;
  }
}

/** What a farmer's certificate proves. */
export interface Contact {
  farmer: string;
  peerId: string;
}

/** All calls fail with NodeError; `control` signs in where the node asks for it. None takes longer than its signal. */
export interface Nodes {
  /** Dials the piece port and reads the identity from the certificate. */
  firstContact(address: NodeAddress, signal: AbortSignal): Promise<Contact>;
  farmerStatus(address: NodeAddress, control: KeyPair, signal: AbortSignal): Promise<FarmerStatus>;
  bridgeStatus(address: NodeAddress, control: KeyPair, signal: AbortSignal): Promise<BridgeStatus>;
  farmReport(address: NodeAddress, control: KeyPair, signal: AbortSignal): Promise<FarmReport>;
  /** Refused by a node that has a newer one (status 409). */
  putConfig(address: NodeAddress, control: KeyPair, config: FarmConfig, signal: AbortSignal): Promise<void>;
  putBuckets(address: NodeAddress, control: KeyPair, buckets: BridgeDesired, signal: AbortSignal): Promise<void>;
  /** The bridge signs the owner's root statements and forgets the words. Answers with the owner's public key. */
  postOwner(address: NodeAddress, control: KeyPair, words: string, signal: AbortSignal): Promise<string>;
  /** A grant on a bucket, for its Secret. Refused with 503 while the bridge doesn't serve it yet. */
  postGrant(address: NodeAddress, control: KeyPair, order: GrantOrder, signal: AbortSignal): Promise<GrantAnswer>;
  /** Deletes a bucket with its objects; content when it is gone already. */
  deleteBucket(
    address: NodeAddress,
    control: KeyPair,
    bucket: { owner: string; bucketName: string },
    signal: AbortSignal,
  ): Promise<void>;
}
