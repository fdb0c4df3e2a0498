// One valid example of everything that goes over the wire, from fixed seeds; of calls in call-samples.ts.
import { leafHash, rootPath, segmentRoot } from '#node/core/merkle.ts';
import {
  boxPublicKey,
  bucketRepairKey,
  bucketSecret,
  keyPairFromSeed,
  ownerFromEntropy,
  ownerPartKey,
  repairKey,
  repairPartKey,
  sealTo,
} from '#node/core/keys.ts';
import { toHex } from '#node/core/ids.ts';
import { newSegmentKey } from '#node/core/encryption.ts';
import { pieceBytes, pieceId, plainToCipherBytes, segmentId } from '#node/core/segments.ts';
import {
  ownerManifestKey,
  repairManifestKey,
  sealReference,
  type OwnerRecord,
  type RepairRecord,
} from '#node/wire/checkpoints.ts';
import { encodeBatch, encodePlacementsBatch, NO_HASH } from '#node/wire/batch.ts';
import { signAuditWord } from '#node/wire/audits.ts';
import { signCut } from '#node/wire/cuts.ts';
import { encodeGrantKeys, type GrantAsk, type GrantKeys, type GrantText } from '#node/wire/grant-text.ts';
import { encodeGrantChain, extendGrant, sealShareTerms } from '#node/wire/grants.ts';
import { sealPlacement } from '#node/wire/placements.ts';
import { decodeAuditWord, decodeCutStatement, signStatement } from '#node/wire/statements.ts';
import type { OwnerEntry, RepairPart, RootStatement, SegmentPlacement } from '#node/wire/types.ts';

export const fill = (byte: number, length = 32) => new Uint8Array(length).fill(byte);
export const id = (byte: number, length = 32) => toHex(fill(byte, length));

export const entropy = Uint8Array.from({ length: 32 }, (_, i) => i);
export const owner = ownerFromEntropy(entropy);
export const ownerKey = owner.keyPair;
export const keeper = keyPairFromSeed(fill(0x21));
export const repairer = keyPairFromSeed(fill(0x22));
export const control = keyPairFromSeed(fill(0x23));
export const farmer = keyPairFromSeed(fill(0x24));
export const log = keyPairFromSeed(fill(0x25));
export const placementLog = keyPairFromSeed(fill(0x26));
export const stranger = keyPairFromSeed(fill(0x27));
export const app = keyPairFromSeed(fill(0x28));
export const worker = keyPairFromSeed(fill(0x29));
export const bucketId = id(0xb1, 16);
const shareId = id(0xb2, 16);
export const atMs = 1_790_000_000_000;

export const shareSecret = bucketSecret(owner.accountSecret, shareId);
export const shareTerms = { name: 'holiday', prefix: 'photos/', box: boxPublicKey(app.seed) };
export const secretOfBucket = bucketSecret(owner.accountSecret, bucketId);
export const keyOfEpoch = repairKey(owner.accountSecret, 1);
export const keyOfBucket = bucketRepairKey(keyOfEpoch, bucketId);
export const partKeys = {
  ownerPartKey: ownerPartKey(secretOfBucket, log.publicKey),
  repairPartKey: repairPartKey(keyOfBucket, log.publicKey),
};

// ---- a segment, as far as the wire cares ----------------------------------------------------

export const scheme = { required: 2, repair: 2, optimal: 3, total: 3 };
export const segment = newSegmentKey(fill(0x51));
export const plainBytes = 200_000;
export const pieceRoots = [0, 1, 2].map((i) => leafHash(Uint8Array.of(i)));
export const root = toHex(segmentRoot(pieceRoots));
const cipherBytes = plainToCipherBytes(plainBytes);
export const placement: SegmentPlacement = {
  segmentId: segmentId(root, scheme, cipherBytes),
  secret: segment.secret,
  scheme,
  sizeBytes: cipherBytes,
  root,
  farmers: [id(1), null, id(3)],
  createdMs: atMs,
};
const segmentKey = {
  segmentId: placement.segmentId,
  key: segment.key,
  commitment: segment.commitment,
  plainBytes,
};

// ---- a checkpoint ---------------------------------------------------------------------------

const keptSegment = { key: segmentKey, placement };
export const checkpointName = { owner: ownerKey.publicKey, bucketId, number: 3 };
export const reference = [keptSegment];
const run = { segments: [keptSegment], root: { offset: 900, sizeBytes: 100 }, depth: 1, records: 3, recordBytes: 5000 };
export const repairManifest = {
  number: 3,
  horizonMs: atMs - 7,
  vector: [{ logId: log.publicKey, seq: 7, hash: id(0x77) }],
  runs: [run],
};
export const ownerManifest = { ...repairManifest, packs: [id(0x68)] };
export const indexNode = [{ first: Uint8Array.of(2, 65, 0, 0), offset: 0, sizeBytes: 900 }];

// ---- statements -----------------------------------------------------------------------------

export const rootBodies = {
  role: {
    kind: 'role',
    owner: ownerKey.publicKey,
    subject: keeper.publicKey,
    role: 'keeper',
    bucketId: '*',
    sealedSecret: sealTo(boxPublicKey(keeper.seed), owner.accountSecret, fill(0x61)),
    issuedMs: atMs,
  },
  warrant: {
    kind: 'warrant',
    owner: ownerKey.publicKey,
    repairer: repairer.publicKey,
    repairEpoch: 1,
    sealedRepairKey: sealTo(boxPublicKey(repairer.seed), keyOfEpoch, fill(0x62)),
    farms: [control.publicKey],
    farmers: [id(9)],
    issuedMs: atMs + 1,
  },
  opened: {
    kind: 'log-opened',
    owner: ownerKey.publicKey,
    bucketId,
    logId: log.publicKey,
    writer: keeper.publicKey,
    openedMs: atMs + 2,
    grant: null,
  },
  closed: {
    kind: 'log-closed',
    owner: ownerKey.publicKey,
    bucketId,
    logId: log.publicKey,
    lastSeq: 7,
    lastHash: id(0x77),
    closedMs: atMs + 3,
  },
  set: {
    kind: 'replica-set',
    owner: ownerKey.publicKey,
    bucketId,
    epoch: 1,
    f: 1,
    members: [id(1), id(2), id(3)],
    issuedMs: atMs + 4,
  },
  revocation: {
    kind: 'revocation',
    owner: ownerKey.publicKey,
    bucketId,
    revoked: app.publicKey,
    logs: [{ logId: id(0x57), lastSeq: 9 }],
    issuedMs: atMs + 5,
  },
  share: {
    kind: 'share',
    owner: ownerKey.publicKey,
    shareId,
    bucketId,
    audience: app.publicKey,
    sealedTerms: sealShareTerms(shareSecret, shareTerms, fill(0x63, 12)),
    issuedMs: atMs + 6,
  },
  checkpoint: {
    kind: 'checkpoint',
    owner: ownerKey.publicKey,
    bucketId,
    number: 3,
    horizonMs: atMs - 7,
    covers: [{ logId: log.publicKey, seq: 7 }],
    ownerManifest: sealReference(ownerManifestKey(secretOfBucket), checkpointName, reference, fill(0x66, 12)),
    repairManifest: sealReference(repairManifestKey(keyOfBucket), checkpointName, reference, fill(0x67, 12)),
    issuedMs: atMs + 7,
  },
  reset: {
    kind: 'reset',
    owner: ownerKey.publicKey,
    bucketId,
    heads: [{ logId: id(0x58), seq: 6 }],
    issuedMs: atMs + 8,
  },
} satisfies Record<string, RootStatement>;

export const role = signStatement<RootStatement>(ownerKey, rootBodies.role);
export const warrant = signStatement<RootStatement>(ownerKey, rootBodies.warrant);
export const opened = signStatement<RootStatement>(keeper, rootBodies.opened);
export const closed = signStatement<RootStatement>(keeper, rootBodies.closed);
export const set = signStatement<RootStatement>(keeper, rootBodies.set);
const revocation = signStatement<RootStatement>(keeper, rootBodies.revocation);
const share = signStatement<RootStatement>(keeper, rootBodies.share);
const checkpoint = signStatement<RootStatement>(keeper, rootBodies.checkpoint);
const reset = signStatement<RootStatement>(ownerKey, rootBodies.reset);
export const roots = [role, warrant, opened, closed, set, revocation, share, checkpoint, reset];

// ---- a grant --------------------------------------------------------------------------------

const hourMs = 3_600_000;
/** The keeper grants to the app, which hands on to its worker. */
export const appGrant = extendGrant([], keeper, {
  owner: ownerKey.publicKey,
  audience: app.publicKey,
  bucketId,
  verbs: ['read', 'list', 'write', 'delete', 'share'],
  notBeforeMs: atMs,
  expiresMs: atMs + 24 * hourMs,
  budgetBytes: 1_000_000,
  nonce16: fill(0x64, 16),
});
export const workerGrant = extendGrant(appGrant, app, {
  owner: ownerKey.publicKey,
  audience: worker.publicKey,
  bucketId,
  prefix: 'inbox/',
  verbs: ['write', 'delete'],
  notBeforeMs: atMs + hourMs,
  expiresMs: atMs + 2 * hourMs,
  budgetBytes: 1000,
  nonce16: fill(0x65, 16),
});

export const membership = signStatement(control, {
  kind: 'membership',
  farm: control.publicKey,
  farmer: farmer.publicKey,
  issuedMs: atMs,
});
export const receiptBody = {
  kind: 'receipt',
  farmer: farmer.publicKey,
  owner: ownerKey.publicKey,
  pieceId: pieceId(segment.secret, 1),
  pieceRoot: toHex(pieceRoots[1]!),
  sizeBytes: pieceBytes(cipherBytes, scheme.required),
  durability: 'fsynced',
  storedMs: atMs,
  membership: membership.bytes,
} as const;
export const receipt = signStatement(farmer, receiptBody);
export const sealOrder = signStatement(keeper, {
  kind: 'seal',
  owner: ownerKey.publicKey,
  bucketId,
  logId: log.publicKey,
  issuedMs: atMs,
});

export const grantKeys: GrantKeys = {
  bucketName: 'photos',
  bucketSecret: secretOfBucket,
  repairKeys: [{ epoch: 1, key: bucketRepairKey(keyOfEpoch, bucketId) }],
};
export const grantText: GrantText = {
  chains: [encodeGrantChain(appGrant)],
  sealedKeys: sealTo(boxPublicKey(app.seed), encodeGrantKeys(grantKeys), fill(0x66)),
  farm: control.publicKey,
  farmers: [{ farmer: farmer.publicKey, url: 'https://10.0.0.7:4433' }],
  seed: app.seed,
};
export const grantAsk: GrantAsk = {
  audience: app.publicKey,
  box: boxPublicKey(app.seed),
  name: 'Photo book',
  bucketName: 'photos',
  prefix: 'photos/',
  verbs: ['read', 'list'],
  budgetBytes: null,
  forMs: 24 * hourMs,
};

// ---- batches --------------------------------------------------------------------------------

const clock = { wallMs: atMs, counter: 3 };
const checksums = [{ algorithm: 'CRC32C', value: 'AAAAAA==', type: 'FULL_OBJECT' }];
export const entries: OwnerEntry[] = [
  {
    kind: 'put',
    key: 'photos/überfahrt 🚢.jpg',
    versionId: id(0xa1, 16),
    clock,
    replaces: [id(0xa0, 16)],
    sizeBytes: plainBytes,
    etag: 'd41d8cd98f00b204e9800998ecf8427e',
    modifiedMs: atMs,
    headers: { 'content-type': 'image/jpeg', 'x-amz-meta-a': 'b', __proto__: 'just a name' },
    checksums,
    segments: [segmentKey],
    partSizes: [plainBytes],
    rewritten: { wallMs: atMs + 1, counter: 0 },
  },
  {
    kind: 'put',
    key: '\ufeffsmall\u0000',
    versionId: id(0xa2, 16),
    clock: { wallMs: atMs, counter: 4 },
    replaces: [],
    sizeBytes: 5,
    etag: '',
    modifiedMs: atMs,
    headers: {},
    checksums: [],
    inline: Uint8Array.from([1, 2, 3, 4, 5]),
  },
  { kind: 'delete', key: 'old', clock, names: [id(0xa3, 16)] },
  { kind: 'bucket', bucketId, name: 'photos', clock, createdMs: atMs, deleted: false },
  {
    kind: 'upload',
    uploadId: 'upload-1',
    key: 'big',
    clock,
    createdMs: atMs,
    headers: { 'content-type': 'text/plain' },
    state: 'open',
    checksumAlgorithm: 'SHA256',
  },
  {
    kind: 'part',
    uploadId: 'upload-1',
    partNumber: 1,
    clock,
    sizeBytes: 0,
    etag: 'e',
    modifiedMs: atMs,
    checksums: [],
    inline: new Uint8Array(0),
  },
  { kind: 'checkpoint', number: 3, clock, previous: 2, segments: [id(0x68)] },
];
const packedEntry: OwnerEntry = {
  kind: 'put',
  key: 'packed',
  versionId: id(0xa4, 16),
  clock,
  replaces: [],
  sizeBytes: 300,
  etag: 'e',
  modifiedMs: atMs,
  headers: {},
  checksums: [],
  packed: { segment: segmentKey, offset: 1000, key: fill(0x69) },
};
export const ownerRecords: OwnerRecord[] = [
  { kind: 'entry', logId: log.publicKey, entry: packedEntry },
  { kind: 'gone', key: 'packed', versionId: id(0xa5, 16), wallMs: atMs },
];
// An object literal's __proto__ sets the prototype; this is how a client's header of that name arrives.
const [first] = entries;
if (first?.kind === 'put')
  first.headers = JSON.parse('{"content-type":"image/jpeg","x-amz-meta-a":"b","__proto__":"just a name"}');

export const heads = [{ logId: placementLog.publicKey, seq: 4, hash: id(0x44) }];
export const cut = signCut(keeper, ownerKey.publicKey, atMs, {
  heads: [{ bucketId, logId: placementLog.publicKey, seq: 4, hash: id(0x44) }],
  dropped: [id(0x66)],
});
export const cutStatement = decodeCutStatement(cut.statement);
export const repairPart: RepairPart = { added: [placement], released: [id(0x66)], cuts: [cut] };
export const repairRecords: RepairRecord[] = [
  { kind: 'segment', segmentId: placement.segmentId, live: true, placement },
  { kind: 'segment', segmentId: id(0x66), live: false },
  { kind: 'moves', tag: id(0x6a, 16), sealed: [fill(0x6b, 40)] },
];
export const batch = encodeBatch({
  logKey: log,
  position: { seq: 1, prevHash: NO_HASH, timeMs: atMs, salt: fill(0x71) },
  entries,
  heads,
  repair: repairPart,
  ...partKeys,
});

export const placementEntry = {
  pieceNumber: 1,
  farmer: farmer.publicKey,
  receipt: receipt.bytes,
  path: rootPath(pieceRoots, 1),
};
export const sealedPlacement = sealPlacement(segment.secret, placementEntry, fill(0x72, 12));
export const placementsBatch = encodePlacementsBatch({
  logKey: placementLog,
  position: { seq: 3, prevHash: id(0x33), timeMs: atMs, salt: fill(0x73) },
  placements: [sealedPlacement],
});

export const auditWord = decodeAuditWord(
  signAuditWord(
    farmer,
    { auditor: repairer.publicKey, owner: ownerKey.publicKey, pieceId: receiptBody.pieceId, leaf: 1, nonce: id(0x91) },
    fill(0x92, 48),
    atMs,
  ),
);
