import { describe, expect, it } from 'vitest';
import { toHex } from '#node/core/ids.ts';
import {
  decodeGrant,
  decodeMembership,
  decodeReceipt,
  decodeRootStatement,
  decodeSealOrder,
  signStatement,
  verifyMembership,
  verifyReceipt,
  verifySigned,
} from '#node/wire/statements.ts';
import {
  atMs,
  control,
  farmer,
  keeper,
  membership,
  receipt,
  receiptBody,
  rootBodies,
  roots,
  sealOrder,
  stranger,
  workerGrant,
} from './samples.ts';

describe('statements', () => {
  it('come back as they were signed', () => {
    for (const statement of roots) {
      const back = decodeRootStatement(statement.bytes);
      expect(back).toEqual(statement);
      expect(verifySigned(back)).toBe(true);
    }
    expect(verifySigned(decodeSealOrder(sealOrder.bytes))).toBe(true);
    expect(decodeSealOrder(sealOrder.bytes).body).toEqual(sealOrder.body);
  });

  it('are no longer signed when any bit changes', () => {
    for (const statement of [...roots, ...workerGrant, membership, receipt, sealOrder]) {
      for (let i = 0; i < statement.bytes.length; i++) {
        const changed = Uint8Array.from(statement.bytes);
        changed[i]! ^= 1;
        expect(opened(changed), `byte ${i} of ${statement.body.kind}`).toBe(false);
      }
    }
  });

  it('of one kind never pass for another', () => {
    expect(() => decodeMembership(receipt.bytes)).toThrow('Unknown kind');
    expect(() => decodeRootStatement(membership.bytes)).toThrow('Unknown kind');
    expect(() => decodeSealOrder(roots[2]!.bytes)).toThrow('Unknown kind');
  });

  it('keep their word when the buffer they were read from is used again', () => {
    const buffer = Uint8Array.from(roots[0]!.bytes);
    const read = decodeRootStatement(buffer);
    buffer.fill(0);
    expect(toHex(read.bytes)).toBe(toHex(roots[0]!.bytes));
    expect(verifySigned(read)).toBe(true);
  });

  it('of a later version are refused as such', () => {
    const later = Uint8Array.from(roots[0]!.bytes);
    later[0] = 2;
    expect(() => decodeRootStatement(later)).toThrow('version 2');
  });

  it('a set names nobody twice', () => {
    const body = { ...rootBodies.set, members: [control.publicKey, control.publicKey] };
    expect(() => signStatement(keeper, body)).toThrow('named twice');
  });
});

describe('who may say it', () => {
  it("a membership only the farm's control key", () => {
    expect(verifyMembership(decodeMembership(membership.bytes))).toBe(true);
    const forged = signStatement(stranger, membership.body);
    expect(verifySigned(forged)).toBe(true);
    expect(verifyMembership(decodeMembership(forged.bytes))).toBe(false);
  });

  it('a receipt only the farmer', () => {
    expect(verifyReceipt(decodeReceipt(receipt.bytes))).toBe(true);
    expect(verifyReceipt(decodeReceipt(signStatement(stranger, receiptBody).bytes))).toBe(false);
    const bare = signStatement(farmer, { ...receiptBody, membership: null, storedMs: atMs + 5 });
    expect(decodeReceipt(bare.bytes).body.membership).toBeNull();
  });
});

/** Whether any of the decoders takes it, properly signed. */
function opened(bytes: Uint8Array): boolean {
  for (const decode of [decodeRootStatement, decodeGrant, decodeMembership, decodeReceipt, decodeSealOrder]) {
    try {
      if (verifySigned(decode(bytes))) return true;
    } catch (error) {
      expect(error).toMatchObject({ code: 'Malformed' });
    }
  }
  return false;
}
