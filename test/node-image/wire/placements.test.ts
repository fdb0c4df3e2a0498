import { describe, expect, it } from 'vitest';
import { toHex } from '#node/core/ids.ts';
import { pieceId } from '#node/core/segments.ts';
import { WireError } from '#node/wire/codec.ts';
import { openPlacement, placementProblem, placementTag, sealPlacement } from '#node/wire/placements.ts';
import { signStatement } from '#node/wire/statements.ts';
import type { PlacementEntry, Receipt } from '#node/wire/types.ts';
import {
  control,
  farmer,
  fill,
  id,
  ownerKey,
  placement,
  placementEntry,
  pieceRoots,
  receiptBody,
  rootBodies,
  sealedPlacement,
  segment,
  stranger,
} from './samples.ts';

const where = { owner: ownerKey.publicKey, placement };
const problem = (entry: PlacementEntry, warrants = [rootBodies.warrant]) => placementProblem(entry, where, warrants);
const withReceipt = (change: Partial<Receipt>, signer = farmer): PlacementEntry => ({
  ...placementEntry,
  receipt: signStatement(signer, { ...receiptBody, ...change }).bytes,
});

describe('a placement', () => {
  it('is found and opened by whoever has the secret, and by nobody else', () => {
    expect(sealedPlacement.tag).toBe(placementTag(segment.secret));
    expect(openPlacement(segment.secret, sealedPlacement)).toEqual(placementEntry);
    expect(() => openPlacement(fill(1), sealedPlacement)).toThrow(WireError);
    expect(placementTag(fill(1))).not.toBe(sealedPlacement.tag);
    for (const length of [0, 5, 12, 20]) {
      const cutOff = { ...sealedPlacement, sealed: sealedPlacement.sealed.subarray(0, length) };
      expect(() => openPlacement(segment.secret, cutOff)).toThrow(WireError);
    }
  });

  it('looks different each time it is sealed', () => {
    const again = sealPlacement(segment.secret, placementEntry, fill(0x74, 12));
    expect(toHex(again.sealed)).not.toContain(toHex(sealedPlacement.sealed.subarray(12, 60)));
  });
});

describe('a placement counts', () => {
  it("with the holder's receipt for the signed root, under a warrant that admits the holder", () => {
    expect(problem(placementEntry)).toBeNull();
  });

  it.each([
    ['of another piece', withReceipt({ pieceId: pieceId(segment.secret, 2) }), 'another piece'],
    ['of another owner', withReceipt({ owner: stranger.publicKey }), "another owner's"],
    ['signed by somebody else', withReceipt({}, stranger), "isn't the holder's"],
    ['of another farmer', { ...placementEntry, farmer: stranger.publicKey }, "isn't the holder's"],
    ['for other bytes', withReceipt({ pieceRoot: toHex(pieceRoots[2]!) }), 'other bytes'],
    ['for fewer bytes', withReceipt({ sizeBytes: 16 }), 'other bytes'],
    ['with a wrong path', { ...placementEntry, path: placementEntry.path.toReversed() }, 'other bytes'],
    ['that is none', { ...placementEntry, receipt: fill(1) }, "isn't the holder's"],
    ['beyond the last piece', { ...placementEntry, pieceNumber: 3 }, 'no piece of that number'],
  ] as [string, PlacementEntry, string][])('not with a receipt %s', (_, entry, reason) => {
    expect(problem(entry)).toContain(reason);
  });

  it('not without a warrant that admits the farmer', () => {
    expect(problem(placementEntry, [])).toContain('No warrant');
    expect(problem(placementEntry, [{ ...rootBodies.warrant, farms: [id(5)] }])).toContain('No warrant');
    expect(problem(withReceipt({ membership: null }))).toContain('No warrant');
    expect(problem(withReceipt({ membership: fill(1) }))).toContain('No warrant');
    const forged = signStatement(stranger, {
      kind: 'membership',
      farm: control.publicKey,
      farmer: farmer.publicKey,
      issuedMs: 1,
    });
    expect(problem(withReceipt({ membership: forged.bytes }))).toContain('No warrant');
    const ofAnother = signStatement(control, {
      kind: 'membership',
      farm: control.publicKey,
      farmer: stranger.publicKey,
      issuedMs: 1,
    });
    expect(problem(withReceipt({ membership: ofAnother.bytes }))).toContain('No warrant');
  });

  it('with a warrant that names the farmer, in no farm at all', () => {
    const byName = { ...rootBodies.warrant, farms: [], farmers: [farmer.publicKey] };
    expect(problem(withReceipt({ membership: null }), [byName])).toBeNull();
  });
});
