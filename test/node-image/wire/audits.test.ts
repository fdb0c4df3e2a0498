import { describe, expect, it } from 'vitest';
import { toHex } from '#node/core/ids.ts';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { leafHash, leafHashes, pieceRoot, rangeProof, rootPath, segmentRoot } from '#node/core/merkle.ts';
import { auditVerdict, isDenial, signAuditWord, type AuditAnswer, type AuditAsked } from '#node/wire/audits.ts';
import { LEAF_BYTES } from '#node/wire/types.ts';

const farmer = keyPairFromSeed(new Uint8Array(32).fill(1));
const other = keyPairFromSeed(new Uint8Array(32).fill(2));
const piece = new Uint8Array(2 * LEAF_BYTES + 160).map((_, i) => (7 * i) % 251);
const hashes = leafHashes(piece);
const roots = [new Uint8Array(32).fill(9), pieceRoot(hashes), new Uint8Array(32).fill(8)];
const leafOf = (leaf: number) => piece.slice(leaf * LEAF_BYTES, (leaf + 1) * LEAF_BYTES);
const asked: AuditAsked = {
  farmer: farmer.publicKey,
  auditor: other.publicKey,
  owner: 'ab'.repeat(32),
  pieceId: 'cd'.repeat(32),
  nonce: 'ef'.repeat(32),
  leaf: 2,
  leaves: 3,
  leafBytes: 160,
  pieceNumber: 1,
  total: 3,
  segmentRoot: toHex(segmentRoot(roots)),
};
const range = {
  sizeBytes: piece.length,
  pieceRoot: toHex(roots[1]!),
  segmentRoot: asked.segmentRoot,
  index: 1,
  path: rootPath(roots, 1),
  firstLeaf: 2,
  leafHashes: hashes[2]!,
  proof: rangeProof(hashes, 2, 1),
};
const honest: AuditAnswer = { word: signAuditWord(farmer, asked, leafOf(2), 5), found: { range, leaf: leafOf(2) } };
const verdict = (change: Partial<AuditAnswer>, on: Partial<AuditAsked> = {}) =>
  auditVerdict({ ...asked, ...on }, { ...honest, ...change });

describe('the transcript of an audit', () => {
  it('passes for the leaf that the writer signed, for anyone who knows the root', () => {
    expect(verdict({})).toBe('Passed');
    expect(isDenial(honest.word)).toBe(false);
  });

  it('is a failure where the farmer signs that it has nothing', () => {
    const word = signAuditWord(farmer, asked, null, 5);
    expect(verdict({ word, found: null })).toBe('Denied');
    expect(isDenial(word)).toBe(true);
  });

  it('is a failure where it signs other bytes, another leaf or another piece of the segment', () => {
    const spoiled = leafOf(2);
    spoiled[0]! ^= 1;
    const said = (leaf: Uint8Array, more: object = {}) =>
      verdict({ word: signAuditWord(farmer, asked, leaf, 5), found: { range: { ...range, ...more }, leaf } });
    expect(said(spoiled)).toBe('Wrong');
    expect(said(spoiled, { leafHashes: leafHash(spoiled) })).toBe('Wrong');
    expect(said(leafOf(1))).toBe('Wrong');
    expect(said(leafOf(2), { index: 0 })).toBe('Wrong');
    expect(said(leafOf(2), { proof: [] })).toBe('Wrong');
    expect(said(leafOf(2).slice(0, 100))).toBe('Wrong');
  });

  it('proves nothing where the word is another one’s, on another question, or on other bytes than were sent', () => {
    expect(verdict({ word: signAuditWord(other, asked, leafOf(2), 5) })).toBe('Nonsense');
    const questions: Partial<AuditAsked>[] = [
      { nonce: '00'.repeat(32) },
      { auditor: farmer.publicKey },
      { owner: '00'.repeat(32) },
      { pieceId: '00'.repeat(32) },
      { leaf: 1 },
      { farmer: other.publicKey },
    ];
    for (const on of questions) expect(verdict({}, on)).toBe('Nonsense');
    expect(verdict({ found: { range, leaf: leafOf(1) } })).toBe('Nonsense');
    expect(verdict({ found: null })).toBe('Nonsense');
    expect(verdict({ word: new Uint8Array([1, 2, 3]) })).toBe('Nonsense');
    const flipped = honest.word.slice();
    flipped[flipped.length - 1]! ^= 1;
    expect(verdict({ word: flipped })).toBe('Nonsense');
  });
});
