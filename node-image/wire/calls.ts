// Head and body of every operation in net.ts, both ways. Heads are CBOR structs that newer peers may
// append to; bodies are either bytes with a frame around them (framing.ts) or one bounded CBOR struct.
import {
  bool,
  bytes,
  bytesUpTo,
  decode,
  encode,
  hex,
  hex32,
  list,
  nullable,
  oneOf,
  struct,
  text,
  uint,
  where,
  type Codec,
  type StructCodec,
} from './codec.ts';
import { MAX_RANGE_BITS } from '#node/core/id-ranges.ts';
import { scheme } from './entries.ts';
import {
  LEAF_BYTES,
  MAX_BATCH_BYTES,
  MAX_HEAD_BYTES,
  MAX_SEGMENT_BYTES,
  type BucketId,
  type Hash,
  type PieceId,
  type PublicKey,
  type Scheme,
} from './types.ts';

/** A replica's newest batch of a log, and the epoch of the set under which it answers. seq 0 = nothing yet. */
export interface LogHead {
  seq: number;
  hash: Hash;
  epoch: number;
}
/** With the first batch that the replica keeps; 1 = it has dropped none. */
interface LogPage extends LogHead {
  firstSeq: number;
}
/** Where to ask instead. */
export interface Referral {
  farmer: PublicKey;
  url: string;
}

/** Heads of calls and their answers. */
export interface Heads {
  /** Body: piece bytes ‖ footer ‖ u32be footer length. */
  'piece.put': { call: { owner: PublicKey; pieceId: PieceId }; answer: { receipt: Uint8Array } };
  /** leafCount 0 = to the end. Answer body: u32be length ‖ PieceRange ‖ leaves. */
  'piece.get': {
    call: { owner: PublicKey; pieceId: PieceId; firstLeaf: number; leafCount: number };
    answer: Record<never, never>;
  };
  /** Body: PieceIds. Answer body: HeldPieces. */
  'piece.stat': { call: { owner: PublicKey }; answer: Record<never, never> };
  /** Answer: Signed<AuditWord> bytes, and where the leaf is there the body u32be length ‖ PieceRange ‖ leaf. */
  'piece.audit': {
    call: { owner: PublicKey; pieceId: PieceId; leaf: number; nonce: Hash };
    answer: { word: Uint8Array };
  };
  /** Answer body: RangeDigests of the pieces that aren't in the trash, by the first `bits` of their ids. */
  'piece.ranges': { call: { owner: PublicKey; bits: number; first: number; count: number }; answer: Record<never, never> };
  /** Answer body: PieceList of one range, those in the trash too. `after` '' = from its start. */
  'piece.list': { call: { owner: PublicKey; bits: number; range: number; after: PieceId | '' }; answer: Record<never, never> };
  /** Body: TrashOrder. */
  'piece.trash': { call: { owner: PublicKey }; answer: { moved: number } };
  /** Body: PieceIds. */
  'piece.restore': { call: { owner: PublicKey }; answer: { moved: number } };
  /**
   * Body: framed batches, consecutive. Conflict and Sealed carry LogHead as detail. `firstSeq`: where the first of
   * them may leave a gap behind the replica's head, since what lies between was dropped; 0 = nowhere.
   */
  'log.append': {
    call: { owner: PublicKey; bucketId: BucketId; logId: PublicKey; epoch: number; firstSeq: number };
    answer: LogHead;
  };
  /** Answer body: BucketHeads. */
  'log.heads': { call: { owner: PublicKey; bucketId: BucketId }; answer: Record<never, never> };
  /** Answer body: framed batches from `fromSeq` on, or from the first that is kept; head: what is kept here. */
  'log.read': { call: { owner: PublicKey; logId: PublicKey; fromSeq: number; maxBytes: number }; answer: LogPage };
  /** Body: Signed<SealOrder> bytes. */
  'log.seal': { call: { owner: PublicKey }; answer: LogHead };
  /** Body: framed statements. Answer: how many of them the farmer has now (signed properly, of this owner). */
  'roots.put': { call: { owner: PublicKey }; answer: { kept: number } };
  /** Answer body: framed statements; where there are none, `nearest` says who may have them. */
  'roots.get': { call: { owner: PublicKey }; answer: { nearest: Referral[] } };
  /** Owners whose statements name the caller. Answer body: OwnerPage. `after` '' = from the start. */
  'roots.owners': { call: { after: PublicKey | ''; limit: number }; answer: Record<never, never> };
  /** Body: a grant chain. The farmer checks it against the caller's key and remembers it for him until it ends. */
  'grant.present': { call: { owner: PublicKey }; answer: { expiresMs: number } };
  /** Answer body: FarmMembers. */
  'farm.members': { call: Record<never, never>; answer: Record<never, never> };
  /** Answer body: Holdings. For the farm's repairers only. */
  'farmer.holdings': { call: Record<never, never>; answer: Record<never, never> };
}
type OperationName = keyof Heads;

const open = { open: true };
const url = text(512);
const nothing = struct<Record<never, never>>({}, open);
const logHead = struct<LogHead>({ seq: uint(), hash: hex32, epoch: uint() }, open);
const logPage = struct<LogPage>({ seq: uint(), hash: hex32, epoch: uint(), firstSeq: uint(undefined, 1) }, open);
const ofOwner = struct<{ owner: PublicKey }>({ owner: hex32 }, open);
const moved = struct<{ moved: number }>({ moved: uint() }, open);
export const address = struct<Referral>({ farmer: hex32, url });
const afterOwner: Codec<PublicKey | ''> = {
  toCbor: (value) => (value === '' ? null : hex32.toCbor(value)),
  fromCbor: (value) => (value === null ? '' : hex32.fromCbor(value)),
};
/** Most leaves that a piece can have: a whole segment on one farmer. */
const MAX_LEAVES = MAX_SEGMENT_BYTES / LEAF_BYTES;
export const MAX_OWNERS_PAGE = 1000;

const heads: { [O in OperationName]: { call: StructCodec<Heads[O]['call']>; answer: StructCodec<Heads[O]['answer']> } } = {
  'piece.put': {
    call: struct({ owner: hex32, pieceId: hex32 }, open),
    answer: struct({ receipt: bytesUpTo(1024) }, open),
  },
  'piece.get': {
    call: struct({ owner: hex32, pieceId: hex32, firstLeaf: uint(MAX_LEAVES), leafCount: uint(MAX_LEAVES) }, open),
    answer: nothing,
  },
  'piece.stat': { call: ofOwner, answer: nothing },
  'piece.audit': {
    call: struct({ owner: hex32, pieceId: hex32, leaf: uint(MAX_LEAVES), nonce: hex32 }, open),
    answer: struct({ word: bytesUpTo(1024) }, open),
  },
  'piece.ranges': {
    call: struct({ owner: hex32, bits: uint(MAX_RANGE_BITS), first: uint(), count: uint(undefined, 1) }, open),
    answer: nothing,
  },
  'piece.list': {
    call: struct({ owner: hex32, bits: uint(MAX_RANGE_BITS), range: uint(), after: afterOwner }, open),
    answer: nothing,
  },
  'piece.trash': { call: ofOwner, answer: moved },
  'piece.restore': { call: ofOwner, answer: moved },
  'log.append': {
    call: struct({ owner: hex32, bucketId: hex(16), logId: hex32, epoch: uint(), firstSeq: uint() }, open),
    answer: logHead,
  },
  'log.heads': { call: struct({ owner: hex32, bucketId: hex(16) }, open), answer: nothing },
  'log.read': {
    call: struct({ owner: hex32, logId: hex32, fromSeq: uint(undefined, 1), maxBytes: uint(MAX_BATCH_BYTES, 1) }, open),
    answer: logPage,
  },
  'log.seal': { call: ofOwner, answer: logHead },
  'roots.put': { call: ofOwner, answer: struct({ kept: uint() }, open) },
  'roots.get': { call: ofOwner, answer: struct({ nearest: list(address, 9) }, open) },
  'roots.owners': { call: struct({ after: afterOwner, limit: uint(MAX_OWNERS_PAGE, 1) }, open), answer: nothing },
  'grant.present': { call: ofOwner, answer: struct({ expiresMs: uint() }, open) },
  'farm.members': { call: nothing, answer: nothing },
  'farmer.holdings': { call: nothing, answer: nothing },
};

export function encodeCallHead<O extends OperationName>(operation: O, head: Heads[O]['call']): Uint8Array {
  return encode<Heads[O]['call']>(heads[operation].call, head);
}
/** Throws WireError. */
export function decodeCallHead<O extends OperationName>(operation: O, from: Uint8Array): Heads[O]['call'] {
  return decode<Heads[O]['call']>(heads[operation].call, from, MAX_HEAD_BYTES);
}
export function encodeAnswerHead<O extends OperationName>(operation: O, head: Heads[O]['answer']): Uint8Array {
  return encode<Heads[O]['answer']>(heads[operation].answer, head);
}
/** Throws WireError. */
export function decodeAnswerHead<O extends OperationName>(operation: O, from: Uint8Array): Heads[O]['answer'] {
  return decode<Heads[O]['answer']>(heads[operation].answer, from, MAX_HEAD_BYTES);
}

/** Detail of Conflict and Sealed errors. */
export const encodeLogHead = (head: LogHead): Uint8Array => encode(logHead, head);
/** Throws WireError. */
export const decodeLogHead = (from: Uint8Array): LogHead => decode(logHead, from, MAX_HEAD_BYTES);

// ---- bodies ---------------------------------------------------------------------------------

/** One CBOR struct as a body or as a frame in it. */
export interface Body<T> {
  readonly maxBytes: number;
  encode(value: T): Uint8Array;
  /** Throws WireError. */
  decode(from: Uint8Array): T;
}
export function body<T>(maxBytes: number, codec: Codec<T>): Body<T> {
  return { maxBytes, encode: (value) => encode(codec, value), decode: (from) => decode(codec, from, maxBytes) };
}

/** Behind the bytes of piece.put: which piece of which segment this is. `path` leads from its root to segmentRoot. */
export interface PieceFooter {
  segmentRoot: Hash;
  index: number;
  total: number;
  path: Uint8Array[];
}
const path = list(bytes(32), 8);
export const pieceFooter: Body<PieceFooter> = body(
  512,
  where(struct<PieceFooter>({ segmentRoot: hex32, index: uint(254), total: uint(255, 1), path }), ({ index, total }) =>
    index < total ? null : 'The index of a piece is below the total.',
  ),
);

/** Before the leaves of piece.get: everything that proves them. */
export interface PieceRange {
  /** Of the whole piece. */
  sizeBytes: number;
  pieceRoot: Hash;
  segmentRoot: Hash;
  index: number;
  /** From pieceRoot to segmentRoot. */
  path: Uint8Array[];
  firstLeaf: number;
  /** Hashes of the leaves that follow, one after the other, 32 bytes each. */
  leafHashes: Uint8Array;
  /** From those to pieceRoot: see merkle.verifyRange. */
  proof: Uint8Array[];
}
export const pieceRange: Body<PieceRange> = body(
  64 * 1024,
  where(
    struct<PieceRange>({
      sizeBytes: uint(MAX_SEGMENT_BYTES, 1),
      pieceRoot: hex32,
      segmentRoot: hex32,
      index: uint(254),
      path,
      firstLeaf: uint(MAX_LEAVES),
      leafHashes: bytesUpTo(32 * MAX_LEAVES),
      proof: list(bytes(32), 64),
    }),
    ({ leafHashes }) => (leafHashes.length % 32 === 0 ? null : 'Leaf hashes have 32 bytes each.'),
  ),
);

/** In one call. */
export const MAX_PIECE_IDS = 1000;
export interface PieceIds {
  pieceIds: PieceId[];
}
export const pieceIds: Body<PieceIds> = body(64 * 1024, struct<PieceIds>({ pieceIds: list(hex32, MAX_PIECE_IDS) }));

/** Those of the asked pieces that the farmer holds. */
export interface HeldPieces {
  held: { pieceId: PieceId; pieceRoot: Hash; sizeBytes: number }[];
}
export const heldPieces: Body<HeldPieces> = body(
  128 * 1024,
  struct<HeldPieces>({
    held: list(struct<HeldPieces['held'][number]>({ pieceId: hex32, pieceRoot: hex32, sizeBytes: uint() }), 1000),
  }),
);

/** All logs of a bucket that a farmer holds. */
export interface BucketHeads {
  /** Highest that the farmer knows from root statements. */
  epoch: number;
  /** Whether it is a member under that epoch. */
  setMember: boolean;
  /** `firstSeq`: the first batch that is kept; 1 = none was dropped. */
  logs: { logId: PublicKey; seq: number; hash: Hash; sealed: boolean; firstSeq: number }[];
}
export const bucketHeads: Body<BucketHeads> = body(
  2 * 1024 * 1024,
  struct<BucketHeads>({
    epoch: uint(),
    setMember: bool,
    logs: list(
      struct<BucketHeads['logs'][number]>({ logId: hex32, seq: uint(), hash: hex32, sealed: bool, firstSeq: uint(undefined, 1) }),
      20_000,
    ),
  }),
);

export interface OwnerPage {
  owners: PublicKey[];
  /** '' = this was the last page. */
  next: PublicKey | '';
}
export const ownerPage: Body<OwnerPage> = body(
  64 * 1024,
  struct<OwnerPage>({ owners: list(hex32, MAX_OWNERS_PAGE), next: afterOwner }),
);

/** One farmer's word on the farm: with it, one address is enough to reach all. */
export interface FarmMembers {
  epoch: number;
  generation: number;
  controlKey: PublicKey;
  redundancy: Scheme;
  members: {
    farmer: PublicKey;
    url: string;
    multiaddr: string;
    domain: string;
    zone: string;
    state: 'Active' | 'Leaving' | 'Lost';
    /** Signed<Membership> bytes. */
    membership: Uint8Array;
  }[];
  repairers: { repairer: PublicKey; box: string }[];
}
export const farmMembers: Body<FarmMembers> = body(
  16 * 1024 * 1024,
  struct<FarmMembers>({
    epoch: uint(),
    generation: uint(),
    controlKey: hex32,
    redundancy: scheme,
    members: list(
      struct<FarmMembers['members'][number]>({
        farmer: hex32,
        url,
        multiaddr: text(512),
        domain: text(256),
        zone: text(256),
        state: oneOf('Active', 'Leaving', 'Lost'),
        membership: bytesUpTo(512),
      }),
      10_000,
    ),
    repairers: list(struct<FarmMembers['repairers'][number]>({ repairer: hex32, box: hex32 }), 100),
  }),
);

/** What a farmer holds, by owner, and how it stands: all that a repairer asks it regularly. */
export interface Holdings {
  owners: { owner: PublicKey; pieces: number; bytes: number }[];
  /** When it stopped taking new pieces and replicas; null while it takes them. */
  cordonedMs: number | null;
  lastTransferMs: number;
  freeBytes: number;
}
export const holdings: Body<Holdings> = body(
  8 * 1024 * 1024,
  struct<Holdings>({
    owners: list(struct<Holdings['owners'][number]>({ owner: hex32, pieces: uint(), bytes: uint() }), 100_000),
    cordonedMs: nullable(uint()),
    lastTransferMs: uint(),
    freeBytes: uint(),
  }),
);
