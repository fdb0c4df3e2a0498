// Examples of everything in PROTOCOL.md, made by the product's code from fixed seeds. They are committed
// as vectors.json: a change of that file is a change of the format. To write it anew:
//   node test/node-image/wire/vectors.ts > test/node-image/wire/vectors.json, then oxfmt
import { createHash } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import { encryptRecord } from '#node/core/encryption.ts';
import { createCodec } from '#node/core/erasure.ts';
import { peerIdOf, toHex } from '#node/core/ids.ts';
import { boxPublicKey, sealTo, wordsFromEntropy } from '#node/core/keys.ts';
import { leafHashes, pieceRoot, rangeProof, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { nearest } from '#node/core/rendezvous.ts';
import { pieceId, plainToCipherBytes, segmentGeometry, segmentId, shardBytes, stripeCipherBytes } from '#node/core/segments.ts';
import * as calls from '#node/wire/calls.ts';
import { encode } from '#node/wire/codec.ts';
import { ownerPart, placementEntry, repairPart, sealedPlacements } from '#node/wire/entries.ts';
import { encodeAsk, encodeGrantKeys, encodeGrantText } from '#node/wire/grant-text.ts';
import { encodeGrantChain, shareTerms } from '#node/wire/grants.ts';
import { placementTag } from '#node/wire/placements.ts';
import { LEAF_BYTES, RECORD_PLAIN_BYTES } from '#node/wire/types.ts';
import { ownerFamily } from '#node/core/run-records.ts';
import * as checkpoints from '#node/wire/checkpoints.ts';
import * as callSamples from './call-samples.ts';
import * as s from './samples.ts';

/** Bytes as hex, like ids in memory. */
function plainJson(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, one: unknown) => (one instanceof Uint8Array ? toHex(one) : one)),
    // Properties stay in their order, __proto__ too: JSON.parse defines, it doesn't assign.
  );
}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** The plaintext of the example: byte i = (7 i + floor(i / 256)) mod 256. */
const plainByte = (i: number) => (7 * i + (i >> 8)) & 0xff;

function segmentVector() {
  const { scheme, segment, plainBytes } = s;
  const plain = Uint8Array.from({ length: plainBytes }, (_, i) => plainByte(i));
  const geometry = segmentGeometry(plainToCipherBytes(plainBytes), scheme.required);
  const cipher = new Uint8Array(geometry.cipherBytes);
  for (let record = 0; record < geometry.records; record++) {
    const part = plain.subarray(record * RECORD_PLAIN_BYTES, (record + 1) * RECORD_PLAIN_BYTES);
    encryptRecord(segment, record, record === geometry.records - 1, part, cipher.subarray(record * LEAF_BYTES));
  }
  const pieces = piecesOf(cipher, geometry);
  const leaves = pieces.map(leafHashes);
  const roots = leaves.map(pieceRoot);
  const root = toHex(segmentRoot(roots));
  return {
    key: segment.key,
    plainBytes,
    scheme,
    secret: segment.secret,
    commitment: segment.commitment,
    sizeBytes: geometry.cipherBytes,
    pieceBytes: geometry.pieceBytes,
    cipherSha256: sha256(cipher),
    pieceSha256: pieces.map(sha256),
    pieceRoots: roots,
    root,
    segmentId: segmentId(root, scheme, geometry.cipherBytes),
    pieceIds: pieces.map((_, i) => pieceId(segment.secret, i)),
    placementTag: placementTag(segment.secret),
    path: { piece: 2, path: rootPath(roots, 2) },
  };
}

function piecesOf(cipher: Uint8Array, geometry: ReturnType<typeof segmentGeometry>): Uint8Array[] {
  const { required, total } = s.scheme;
  const codec = createCodec(required, total);
  const pieces = Array.from({ length: total }, () => new Uint8Array(geometry.pieceBytes));
  for (let stripe = 0; stripe < geometry.stripes; stripe++) {
    const size = shardBytes(geometry, stripe);
    const start = stripe * required * LEAF_BYTES;
    const end = start + stripeCipherBytes(geometry, stripe);
    const shards = pieces.map((piece) => piece.subarray(stripe * LEAF_BYTES, stripe * LEAF_BYTES + size));
    for (let i = 0; i < required; i++) {
      const from = start + i * size;
      shards[i]!.set(cipher.subarray(from, Math.min(end, from + size)));
    }
    codec.encode(shards.slice(0, required), shards.slice(required));
  }
  return pieces;
}

function erasureVector() {
  const data = Array.from({ length: 4 }, (_, i) => Uint8Array.from({ length: 16 }, (__, at) => plainByte(16 * i + at)));
  const parity = Array.from({ length: 3 }, () => new Uint8Array(16));
  createCodec(4, 7).encode(data, parity);
  return { required: 4, total: 7, data, parity };
}

function merkleVector() {
  const hashes = Array.from({ length: 11 }, (_, i) => s.fill(i));
  return { hashes, root: pieceRoot(hashes), range: { first: 3, count: 5, proof: rangeProof(hashes, 3, 5) } };
}

const textBytes = (text: string) => new Uint8Array(Buffer.from(text.split(':')[1]!, 'base64url'));

/** Blocks as they lie in a run, and bytes in a pack. */
function checkpointVector() {
  const records = s.ownerRecords.map(checkpoints.encodeOwnerRecord);
  return {
    ownerManifestKey: checkpoints.ownerManifestKey(s.secretOfBucket),
    repairManifestKey: checkpoints.repairManifestKey(s.keyOfBucket),
    records,
    recordBlock: checkpoints.encodeRecordBlock(records),
    positions: s.ownerRecords.map((one) => new Uint8Array(ownerFamily.positionOf(one))),
    indexNode: s.indexNode,
    indexBlock: checkpoints.encodeIndexBlock(s.indexNode),
    reference: s.reference,
    packed: { key: s.fill(0x69), plain: s.fill(0x6c, 300), sealed: checkpoints.sealPacked(s.fill(0x69), s.fill(0x6c, 300)) },
  };
}

/** Type in PROTOCOL.md, value as it is in memory (bytes as hex), bytes on the wire. */
function structVectors() {
  const heads = Object.entries(callSamples.callHeads).flatMap(([name, { call, answer }]) => {
    const operation = name as keyof calls.Heads;
    const [callType, answerType] = HEAD_TYPES[operation];
    return [
      { type: callType, value: call, bytes: calls.encodeCallHead(operation, call) },
      { type: answerType, value: answer, bytes: calls.encodeAnswerHead(operation, answer) },
    ];
  });
  const bodies = callSamples.bodyNames.map((name) => ({
    type: BODY_TYPES[name],
    value: callSamples.bodies[name],
    bytes: callSamples.bodyCodecs[name].encode(callSamples.bodies[name]),
  }));
  const owner = { entries: s.entries, heads: s.heads };
  return [
    { type: 'owner-part', value: owner, bytes: encode(ownerPart, owner) },
    { type: 'repair-part', value: s.repairPart, bytes: encode(repairPart, s.repairPart) },
    { type: 'placement-entry', value: s.placementEntry, bytes: encode(placementEntry, s.placementEntry) },
    { type: 'placements', value: [s.sealedPlacement], bytes: encode(sealedPlacements, [s.sealedPlacement]) },
    { type: 'grant-chain', value: { links: s.workerGrant.map(({ bytes }) => bytes) }, bytes: encodeGrantChain(s.workerGrant) },
    { type: 'grant-text', value: s.grantText, bytes: textBytes(encodeGrantText(s.grantText)) },
    { type: 'grant-keys', value: s.grantKeys, bytes: encodeGrantKeys(s.grantKeys) },
    { type: 'grant-ask', value: s.grantAsk, bytes: textBytes(encodeAsk(s.grantAsk)) },
    { type: 'share-terms', value: s.shareTerms, bytes: encode(shareTerms, s.shareTerms) },
    ...s.ownerRecords.map((value) => ({ type: 'owner-record', value, bytes: checkpoints.encodeOwnerRecord(value) })),
    ...s.repairRecords.map((value) => ({ type: 'repair-record', value, bytes: checkpoints.encodeRepairRecord(value) })),
    { type: 'owner-manifest', value: s.ownerManifest, bytes: checkpoints.encodeOwnerManifest(s.ownerManifest) },
    { type: 'repair-manifest', value: s.repairManifest, bytes: checkpoints.encodeRepairManifest(s.repairManifest) },
    { type: 'index-node', value: s.indexNode, bytes: zstdDecompressSync(checkpoints.encodeIndexBlock(s.indexNode)) },
    { type: 'checkpoint-name', value: s.checkpointName, bytes: encode(checkpoints.checkpointName, s.checkpointName) },
    ...heads,
    ...bodies,
  ];
}
const HEAD_TYPES: Record<keyof calls.Heads, [call: string, answer: string]> = {
  'piece.put': ['piece', 'stored'],
  'piece.get': ['range', 'nothing'],
  'piece.stat': ['of-owner', 'nothing'],
  'piece.audit': ['audited-leaf', 'audited'],
  'piece.ranges': ['ranges', 'nothing'],
  'piece.list': ['list', 'nothing'],
  'piece.trash': ['of-owner', 'moved'],
  'piece.restore': ['of-owner', 'moved'],
  'log.append': ['append', 'log-head'],
  'log.heads': ['of-bucket', 'nothing'],
  'log.read': ['read', 'log-page'],
  'log.seal': ['of-owner', 'log-head'],
  'roots.put': ['of-owner', 'kept'],
  'roots.get': ['of-owner', 'referral'],
  'roots.owners': ['page', 'nothing'],
  'grant.present': ['of-owner', 'presented'],
  'farm.members': ['nothing', 'nothing'],
  'farmer.holdings': ['nothing', 'nothing'],
};
const BODY_TYPES: Record<keyof typeof callSamples.bodies, string> = {
  pieceFooter: 'piece-footer',
  pieceRange: 'piece-range',
  pieceIds: 'piece-ids',
  rangeDigests: 'range-digests',
  pieceList: 'piece-list',
  trashOrder: 'trash-order',
  heldPieces: 'held-pieces',
  bucketHeads: 'bucket-heads',
  ownerPage: 'owner-page',
  farmMembers: 'farm-members',
  holdings: 'holdings',
};

export function buildVectors(): unknown {
  const farmers = Array.from({ length: 12 }, (_, i) => s.id(i + 1));
  return plainJson({
    keys: {
      entropy: s.entropy,
      words: wordsFromEntropy(s.entropy),
      ownerSeed: s.ownerKey.seed,
      owner: s.ownerKey.publicKey,
      ownerPeerId: peerIdOf(s.ownerKey.publicKey),
      accountSecret: s.owner.accountSecret,
      bucketId: s.bucketId,
      bucketSecret: s.secretOfBucket,
      repairEpoch: 1,
      repairKey: s.keyOfEpoch,
      logId: s.log.publicKey,
      ownerPartKey: s.partKeys.ownerPartKey,
      repairPartKey: s.partKeys.repairPartKey,
    },
    box: {
      readerSeed: s.keeper.seed,
      reader: boxPublicKey(s.keeper.seed),
      plain: s.fill(0x11, 40),
      sealed: sealTo(boxPublicKey(s.keeper.seed), s.fill(0x11, 40), s.fill(0x12)),
    },
    share: {
      secret: s.shareSecret,
      sealed: s.rootBodies.share.sealedTerms,
      plain: encode(shareTerms, s.shareTerms),
    },
    segment: segmentVector(),
    erasure: erasureVector(),
    merkle: merkleVector(),
    rendezvous: { owner: s.ownerKey.publicKey, farmers, nearest: nearest(s.ownerKey.publicKey, farmers) },
    checkpoint: checkpointVector(),
    statements: [...s.roots, ...s.workerGrant, s.membership, s.receipt, s.sealOrder, s.cutStatement, s.auditWord].map(
      ({ body, signer, bytes }) => ({
        body,
        signer,
        bytes,
      }),
    ),
    batches: [s.batch, s.placementsBatch].map(({ header, hash, bytes }) => ({ header, hash, bytes })),
    structs: structVectors(),
  });
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(buildVectors(), null, 1)}\n`);
