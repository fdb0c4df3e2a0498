// One valid example of every call and of every body that goes with one.
import { rootPath } from '#node/core/merkle.ts';
import { boxPublicKey } from '#node/core/keys.ts';
import { pieceId } from '#node/core/segments.ts';
import * as calls from '#node/wire/calls.ts';
import * as inventory from '#node/wire/inventory.ts';
import {
  fill,
  id,
  ownerKey,
  repairer,
  control,
  farmer,
  log,
  bucketId,
  atMs,
  scheme,
  segment,
  pieceRoots,
  root,
  membership,
  receiptBody,
  receipt,
  cut,
  auditWord,
} from './samples.ts';

const head = { seq: 5, hash: id(0x55), epoch: 2 };
const named = { owner: ownerKey.publicKey };
const piece = { ...named, pieceId: pieceId(segment.secret, 1) };
export const callHeads: { [O in keyof calls.Heads]: calls.Heads[O] } = {
  'piece.put': { call: piece, answer: { receipt: receipt.bytes } },
  'piece.get': { call: { ...piece, firstLeaf: 1, leafCount: 0 }, answer: {} },
  'piece.stat': { call: named, answer: {} },
  'piece.audit': { call: { ...piece, leaf: 1, nonce: id(0x91) }, answer: { word: auditWord.bytes } },
  'piece.ranges': { call: { ...named, bits: 4, first: 3, count: 2 }, answer: {} },
  'piece.list': { call: { ...named, bits: 4, range: 3, after: id(0x33) }, answer: {} },
  'piece.trash': { call: named, answer: { moved: 2 } },
  'piece.restore': { call: named, answer: { moved: 1 } },
  'log.append': { call: { ...named, bucketId, logId: log.publicKey, epoch: 2, firstSeq: 0 }, answer: head },
  'log.heads': { call: { ...named, bucketId }, answer: {} },
  'log.read': { call: { ...named, logId: log.publicKey, fromSeq: 1, maxBytes: 1024 }, answer: { ...head, firstSeq: 2 } },
  'log.seal': { call: named, answer: head },
  'roots.put': { call: named, answer: { kept: 3 } },
  'roots.get': { call: named, answer: { nearest: [{ farmer: farmer.publicKey, url: 'https://10.0.0.7:4433' }] } },
  'roots.owners': { call: { after: '', limit: 100 }, answer: {} },
  'grant.present': { call: named, answer: { expiresMs: atMs } },
  'farm.members': { call: {}, answer: {} },
  'farmer.holdings': { call: {}, answer: {} },
};
export const bodies = {
  pieceFooter: { segmentRoot: root, index: 1, total: 3, path: rootPath(pieceRoots, 1) },
  pieceRange: {
    sizeBytes: receiptBody.sizeBytes,
    pieceRoot: receiptBody.pieceRoot,
    segmentRoot: root,
    index: 1,
    path: rootPath(pieceRoots, 1),
    firstLeaf: 1,
    leafHashes: fill(0x81, 32),
    proof: [fill(0x82)],
  },
  pieceIds: { pieceIds: [id(1), id(2)] },
  rangeDigests: {
    digests: [
      { pieces: 0, xor: id(0) },
      { pieces: 2, xor: id(3) },
    ],
  },
  pieceList: {
    pieces: [
      { pieceId: id(0x34), storedMs: atMs, trashedMs: null },
      { pieceId: id(0x35), storedMs: atMs, trashedMs: atMs + 1 },
    ],
  },
  trashOrder: { cut: cut.statement, pieceIds: [id(1)] },
  heldPieces: { held: [{ pieceId: id(1), pieceRoot: id(2), sizeBytes: 64 }] },
  bucketHeads: {
    epoch: 2,
    setMember: true,
    logs: [{ logId: log.publicKey, seq: 5, hash: id(0x55), sealed: false, firstSeq: 2 }],
  },
  ownerPage: { owners: [ownerKey.publicKey], next: '' as const },
  farmMembers: {
    epoch: 1,
    generation: 7,
    controlKey: control.publicKey,
    redundancy: scheme,
    members: [
      {
        farmer: farmer.publicKey,
        url: 'https://10.0.0.7:4433',
        multiaddr: '/ip4/10.0.0.7/tcp/4001',
        domain: 'zone-a',
        zone: 'zone-a',
        state: 'Active' as const,
        membership: membership.bytes,
      },
    ],
    repairers: [{ repairer: repairer.publicKey, box: boxPublicKey(repairer.seed) }],
  },
  holdings: {
    owners: [{ owner: ownerKey.publicKey, pieces: 3, bytes: 200 }],
    cordonedMs: null,
    lastTransferMs: atMs,
    freeBytes: 1000,
  },
} satisfies {
  pieceFooter: calls.PieceFooter;
  pieceRange: calls.PieceRange;
  pieceIds: calls.PieceIds;
  rangeDigests: inventory.RangeDigests;
  pieceList: inventory.PieceList;
  trashOrder: inventory.TrashOrder;
  heldPieces: calls.HeldPieces;
  bucketHeads: calls.BucketHeads;
  ownerPage: calls.OwnerPage;
  farmMembers: calls.FarmMembers;
  holdings: calls.Holdings;
};
export const bodyCodecs: Record<keyof typeof bodies, calls.Body<unknown>> = {
  pieceFooter: calls.pieceFooter,
  pieceRange: calls.pieceRange,
  pieceIds: calls.pieceIds,
  rangeDigests: inventory.rangeDigests,
  pieceList: inventory.pieceList,
  trashOrder: inventory.trashOrder,
  heldPieces: calls.heldPieces,
  bucketHeads: calls.bucketHeads,
  ownerPage: calls.ownerPage,
  farmMembers: calls.farmMembers,
  holdings: calls.holdings,
};
export const bodyNames = Object.keys(bodies) as (keyof typeof bodies)[];
