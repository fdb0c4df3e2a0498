// Whatever comes from outside: it is either taken, and then it has just this one encoding, or it is
// refused with WireError. Nothing else ever comes out of a decoder.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '#node/core/ids.ts';
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
import { decode, encode, WireError, type Codec } from '#node/wire/codec.ts';
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
import * as samples from './samples.ts';

interface Decoder {
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
const decoders: Decoder[] = [
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
  ...samples.bodyNames.map((name): Decoder => {
    const codec = samples.bodyCodecs[name];
    return { name, valid: codec.encode(samples.bodies[name]), read: (bytes) => codec.encode(codec.decode(bytes)) };
  }),
  ...(Object.keys(samples.callHeads) as (keyof calls.Heads)[]).flatMap((operation) => [
    justRead(`call ${operation}`, calls.encodeCallHead(operation, samples.callHeads[operation].call), (bytes) =>
      calls.decodeCallHead(operation, bytes),
    ),
    justRead(`answer ${operation}`, calls.encodeAnswerHead(operation, samples.callHeads[operation].answer), (bytes) =>
      calls.decodeAnswerHead(operation, bytes),
    ),
  ]),
];

/** What an attacker does to bytes. */
const damage = fc.oneof(
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })).map(([at, by]) => (bytes: Uint8Array) => {
    const out = Uint8Array.from(bytes);
    if (out.length > 0) out[at % out.length]! ^= by;
    return out;
  }),
  fc.nat().map((at) => (bytes: Uint8Array) => bytes.slice(0, at % (bytes.length + 1))),
  fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 9 })).map(([at, extra]) => (bytes: Uint8Array) => {
    const cut = at % (bytes.length + 1);
    return Uint8Array.from([...bytes.subarray(0, cut), ...extra, ...bytes.subarray(cut)]);
  }),
  fc.uint8Array({ maxLength: 60 }).map((noise) => () => Uint8Array.from(noise)),
);

describe('malformed input', () => {
  it.each(decoders)('$name: taken as it is, or refused with one error', ({ valid, read }) => {
    const first = read(valid);
    if (first) expect(toHex(first)).toBe(toHex(valid));
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 2 }), (steps) => {
        const bytes = steps.reduce((sofar, step) => step(sofar), valid);
        let again: Uint8Array | null;
        try {
          again = read(bytes);
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
          return;
        }
        if (again) expect(toHex(again)).toBe(toHex(bytes));
      }),
      { numRuns: 300 },
    );
  });

  it('a segment that no geometry allows is refused where it is read', () => {
    const wrong = { ...samples.placement, sizeBytes: 65_537 };
    expect(() => encode(repairPart, { added: [wrong], released: [] })).toThrow(WireError);
    const renamed = { ...samples.placement, segmentId: samples.id(1) };
    expect(() => encode(repairPart, { added: [renamed], released: [] })).toThrow("doesn't follow");
  });

  it('an object carries its bytes in exactly one way', () => {
    const [put] = samples.entries;
    const both = { ...put, inline: new Uint8Array(1) } as (typeof samples.entries)[number];
    expect(() => encode(ownerPart, { entries: [both], heads: [] })).toThrow('Exactly one');
  });
});
