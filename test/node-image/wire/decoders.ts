// Everything that reads bytes from outside, each with a valid example: for tests of malformed input and the fuzzer.
import * as batches from '#node/wire/batch.ts';
import * as calls from '#node/wire/calls.ts';
import {
  decodeIndexBlock,
  decodeOwnerManifest,
  decodeOwnerRecord,
  decodeRecordBlock,
  decodeRepairManifest,
  decodeRepairRecord,
  encodeIndexBlock,
  encodeOwnerManifest,
  encodeOwnerRecord,
  encodeRecordBlock,
  encodeRepairManifest,
  encodeRepairRecord,
} from '#node/wire/checkpoints.ts';
import { decode, encode, type Codec } from '#node/wire/codec.ts';
import { ownerPart, placementEntry, repairPart, sealedPlacements } from '#node/wire/entries.ts';
import { frameAll, unframeAll } from '#node/wire/framing.ts';
import {
  decodeAsk,
  decodeGrantKeys,
  decodeGrantText,
  encodeAsk,
  encodeGrantKeys,
  encodeGrantText,
} from '#node/wire/grant-text.ts';
import { decodeGrantChain, encodeGrantChain, openShareTerms } from '#node/wire/grants.ts';
import { decodeGrant, decodeMembership, decodeReceipt, decodeRootStatement, decodeSealOrder } from '#node/wire/statements.ts';
import * as callSamples from './call-samples.ts';
import * as samples from './samples.ts';

export interface Decoder {
  name: string;
  valid: Uint8Array;
  /** Decodes; gives the bytes again where the encoding is unique. */
  read: (bytes: Uint8Array) => Uint8Array | null;
}
function codecOf<T>(name: string, codec: Codec<T>, value: T): Decoder {
  return { name, valid: encode(codec, value), read: (bytes) => encode(codec, decode(codec, bytes, 1e7)) };
}
function justRead(name: string, valid: Uint8Array, read: (bytes: Uint8Array) => unknown): Decoder {
  return { name, valid, read: (bytes) => (read(bytes), null) };
}

const { partKeys, batch, placementsBatch } = samples;
export const decoders: Decoder[] = [
  codecOf('owner part', ownerPart, { entries: samples.entries, heads: samples.heads }),
  codecOf('repair part', repairPart, samples.repairPart),
  codecOf('placement entry', placementEntry, samples.placementEntry),
  codecOf('sealed placements', sealedPlacements, [samples.sealedPlacement]),
  ...samples.roots.map((root) => justRead(root.body.kind, root.bytes, decodeRootStatement)),
  ...samples.ownerRecords.map((one) => justRead(one.kind, encodeOwnerRecord(one), decodeOwnerRecord)),
  ...samples.repairRecords.map((one) => justRead(one.kind, encodeRepairRecord(one), decodeRepairRecord)),
  justRead('block of records', encodeRecordBlock(samples.ownerRecords.map(encodeOwnerRecord)), decodeRecordBlock),
  justRead('index node', encodeIndexBlock(samples.indexNode), decodeIndexBlock),
  justRead('owner manifest', encodeOwnerManifest(samples.ownerManifest), decodeOwnerManifest),
  justRead('repair manifest', encodeRepairManifest(samples.repairManifest), decodeRepairManifest),
  ...samples.workerGrant.map((link) => justRead('grant', link.bytes, decodeGrant)),
  justRead('grant chain', encodeGrantChain(samples.workerGrant), decodeGrantChain),
  justRead('grant text', Buffer.from(encodeGrantText(samples.grantText)), (bytes) =>
    decodeGrantText(Buffer.from(bytes).toString('latin1')),
  ),
  justRead('ask', Buffer.from(encodeAsk(samples.grantAsk)), (bytes) => decodeAsk(Buffer.from(bytes).toString('latin1'))),
  justRead('grant keys', encodeGrantKeys(samples.grantKeys), decodeGrantKeys),
  justRead('share terms', samples.rootBodies.share.sealedTerms, (bytes) => openShareTerms(samples.shareSecret, bytes)),
  justRead('membership', samples.membership.bytes, decodeMembership),
  justRead('receipt', samples.receipt.bytes, decodeReceipt),
  justRead('seal order', samples.sealOrder.bytes, decodeSealOrder),
  justRead('batch header', batch.bytes, batches.decodeBatchHeader),
  justRead('batch', batch.bytes, batches.verifyBatch),
  justRead('batch hash', batch.bytes, batches.batchHash),
  justRead('owner part in its batch', batch.bytes, (bytes) => batches.openOwnerPart(bytes, partKeys.ownerPartKey)),
  justRead('repair part in its batch', batch.bytes, (bytes) => batches.openRepairPart(bytes, partKeys.repairPartKey)),
  justRead('placements in their batch', placementsBatch.bytes, batches.readPlacements),
  {
    name: 'frames',
    valid: frameAll([batch.bytes, samples.fill(1)]),
    read: (bytes) => frameAll(unframeAll(bytes, 10_000)),
  },
  ...callSamples.bodyNames.map((name): Decoder => {
    const codec = callSamples.bodyCodecs[name];
    return { name, valid: codec.encode(callSamples.bodies[name]), read: (bytes) => codec.encode(codec.decode(bytes)) };
  }),
  ...(Object.keys(callSamples.callHeads) as (keyof calls.Heads)[]).flatMap((operation) => [
    justRead(`call ${operation}`, calls.encodeCallHead(operation, callSamples.callHeads[operation].call), (bytes) =>
      calls.decodeCallHead(operation, bytes),
    ),
    justRead(`answer ${operation}`, calls.encodeAnswerHead(operation, callSamples.callHeads[operation].answer), (bytes) =>
      calls.decodeAnswerHead(operation, bytes),
    ),
  ]),
];
