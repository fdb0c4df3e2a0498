// PROTOCOL.md, the committed vectors and the product's code say the same. The checks below read the
// vectors with the independent reader only; the last ones hold the product against the vectors.
import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import zlib from 'node:zlib';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as own from './independent-reader.ts';
import { buildVectors } from './vectors.ts';

const { blake3, hkdf, u32, u64, unhex } = own;
const here = import.meta.dirname;
const page = readFileSync(join(here, '../../../node-image/wire/PROTOCOL.md'), 'utf8');
const json = readFileSync(join(here, 'vectors.json'), 'utf8');
const readers = own.readersOf(page);

interface Vectors {
  keys: Record<string, string> & { repairEpoch: number };
  box: Record<'readerSeed' | 'reader' | 'plain' | 'sealed', string>;
  share: Record<'secret' | 'sealed' | 'plain', string>;
  segment: {
    key: string;
    plainBytes: number;
    scheme: { required: number; repair: number; optimal: number; total: number };
    secret: string;
    commitment: string;
    sizeBytes: number;
    pieceBytes: number;
    cipherSha256: string;
    pieceSha256: string[];
    pieceRoots: string[];
    root: string;
    segmentId: string;
    pieceIds: string[];
    placementTag: string;
    path: { piece: number; path: string[] };
  };
  erasure: { required: number; total: number; data: string[]; parity: string[] };
  merkle: { hashes: string[]; root: string; range: { first: number; count: number; proof: string[] } };
  rendezvous: { owner: string; farmers: string[]; nearest: string[] };
  checkpoint: {
    ownerManifestKey: string;
    repairManifestKey: string;
    records: string[];
    recordBlock: string;
    positions: string[];
    indexNode: unknown[];
    indexBlock: string;
    reference: unknown[];
    packed: Record<'key' | 'plain' | 'sealed', string>;
  };
  statements: { body: { kind: string }; signer: string; bytes: string }[];
  batches: { header: Record<string, unknown>; hash: string; bytes: string }[];
  structs: { type: string; value: unknown; bytes: string }[];
}
const vectors = JSON.parse(json) as Vectors;
const read = (type: string, bytes: Buffer) => readers.get(type)!(own.readCbor(bytes));
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('the page and the vectors', () => {
  it('keys and secrets', () => {
    const { keys } = vectors;
    const entropy = unhex(keys['entropy']!);
    expect(hkdf(entropy, 'storj/1 owner key', 32).toString('hex')).toBe(keys['ownerSeed']);
    const account = hkdf(entropy, 'storj/1 account secret', 32);
    expect(account.toString('hex')).toBe(keys['accountSecret']);
    const bucket = hkdf(account, 'storj/1 bucket secret', 32, unhex(keys['bucketId']!));
    expect(bucket.toString('hex')).toBe(keys['bucketSecret']);
    const repair = hkdf(account, 'storj/1 repair key', 32, u64(keys.repairEpoch));
    expect(repair.toString('hex')).toBe(keys['repairKey']);
    const logId = unhex(keys['logId']!);
    expect(hkdf(bucket, 'storj/1 owner part', 32, logId).toString('hex')).toBe(keys['ownerPartKey']);
    const repairOfBucket = hkdf(repair, 'storj/1 bucket repair key', 32, unhex(keys['bucketId']!));
    expect(hkdf(repairOfBucket, 'storj/1 repair part', 32, logId).toString('hex')).toBe(keys['repairPartKey']);
    expect(keys['words']!.split(' ')).toHaveLength(24);
    expect(keys['ownerPeerId']).toMatch(/^12D3KooW/);
  });

  it('box', () => {
    const { readerSeed, reader, plain, sealed } = vectors.box;
    expect(unhex(sealed)[0]).toBe(1);
    expect(own.openBox(unhex(readerSeed), unhex(reader), unhex(sealed)).toString('hex')).toBe(plain);
  });

  it('a segment, from plaintext to names', () => {
    const v = vectors.segment;
    const { required, repair, optimal, total } = v.scheme;
    const key = unhex(v.key);
    const secret = hkdf(key, 'storj/1 segment secret', 32);
    expect(secret.toString('hex')).toBe(v.secret);
    expect(hkdf(key, 'storj/1 segment commitment', 16).toString('hex')).toBe(v.commitment);
    const plain = Buffer.from(Uint8Array.from({ length: v.plainBytes }, (_, i) => (7 * i + Math.floor(i / 256)) % 256));
    const records = Math.ceil(v.plainBytes / 65_520);
    const cipher = Buffer.concat(
      Array.from({ length: records }, (_, r) => {
        const gcm = createCipheriv('aes-256-gcm', key, Buffer.concat([Buffer.alloc(8), u32(r)]));
        gcm.setAAD(Buffer.concat([Buffer.of(1), secret, u32(r), Buffer.of(r === records - 1 ? 1 : 0)]));
        return Buffer.concat([gcm.update(plain.subarray(r * 65_520, (r + 1) * 65_520)), gcm.final(), gcm.getAuthTag()]);
      }),
    );
    expect(cipher.length).toBe(v.sizeBytes);
    expect(sha256(cipher)).toBe(v.cipherSha256);
    const pieces = own.cutPieces(cipher, required, total);
    expect(pieces.map((piece) => piece.length)).toEqual(pieces.map(() => v.pieceBytes));
    expect(pieces.map(sha256)).toEqual(v.pieceSha256);
    const roots = pieces.map((piece) => {
      const leaves: Buffer[] = [];
      for (let at = 0; at < piece.length; at += 65_536) leaves.push(blake3(Buffer.of(0), piece.subarray(at, at + 65_536)));
      return own.treeRoot(leaves);
    });
    expect(roots.map((one) => one.toString('hex'))).toEqual(v.pieceRoots);
    const root = own.treeRoot(roots);
    expect(root.toString('hex')).toBe(v.root);
    const numbers = Buffer.of(required, repair, optimal, total);
    expect(blake3(Buffer.from('storj-segment/1\0'), root, numbers, u64(v.sizeBytes)).toString('hex')).toBe(v.segmentId);
    expect(v.pieceIds).toEqual(pieces.map((_, i) => createHmac('sha256', secret).update(u32(i)).digest('hex')));
    expect(hkdf(secret, 'storj/1 placement tag', 16).toString('hex')).toBe(v.placementTag);
    const { piece, path } = v.path;
    expect(own.rootFromProof(total, piece, [roots[piece]!], path.map(unhex)).toString('hex')).toBe(v.root);
  });

  it('blocks of a run, references and packed bytes', () => {
    const v = vectors.checkpoint;
    const { zstdDecompressSync } = zlib;
    const frames: string[] = [];
    const block = zstdDecompressSync(unhex(v.recordBlock));
    for (let at = 0; at < block.length; at += 4 + block.readUInt32BE(at)) {
      frames.push(block.subarray(at + 4, at + 4 + block.readUInt32BE(at)).toString('hex'));
    }
    expect(frames).toEqual(v.records);
    for (const record of frames) read('owner-record', unhex(record));
    expect(read('index-node', zstdDecompressSync(unhex(v.indexBlock)))).toEqual(v.indexNode);
    const position = (key: string, version: string) =>
      Buffer.concat([Buffer.of(2), Buffer.from(key), Buffer.of(0, 0), unhex(version)]).toString('hex');
    expect(v.positions).toEqual([position('packed', 'a4'.repeat(16)), position('packed', 'a5'.repeat(16))]);
    const { packed } = v;
    const plain = own.openGcm(unhex(packed.key), Buffer.alloc(12), unhex(packed.sealed), Buffer.from('storj/1 packed'));
    expect(plain.toString('hex')).toBe(packed.plain);
    expect(hkdf(unhex(vectors.keys['bucketSecret']!), 'storj/1 owner manifest', 32).toString('hex')).toBe(v.ownerManifestKey);
    const bucketRepair = hkdf(
      unhex(vectors.keys['repairKey']!),
      'storj/1 bucket repair key',
      32,
      unhex(vectors.keys['bucketId']!),
    );
    expect(hkdf(bucketRepair, 'storj/1 repair manifest', 32).toString('hex')).toBe(v.repairManifestKey);
    const { body } = vectors.statements.find((one) => one.body.kind === 'checkpoint')!;
    const sealed = unhex((body as unknown as { ownerManifest: string }).ownerManifest);
    // The CBOR of [owner, bucket id, 3].
    const name = Buffer.concat([
      unhex('835820'),
      unhex(vectors.keys['owner']!),
      unhex('50'),
      unhex(vectors.keys['bucketId']!),
      unhex('03'),
    ]);
    const reference = own.openGcm(unhex(v.ownerManifestKey), sealed.subarray(0, 12), sealed.subarray(12), name);
    expect(withoutNulls(read('reference', reference))).toEqual(v.reference.map(withoutNulls));
  });

  it('the erasure code', () => {
    const { required, data, parity } = vectors.erasure;
    const shards = data.map(unhex);
    expect(parity).toEqual(parity.map((_, i) => own.parityShard(shards, required + i).toString('hex')));
  });

  it('trees and proofs', () => {
    const { hashes, root, range } = vectors.merkle;
    const all = hashes.map(unhex);
    expect(own.treeRoot(all).toString('hex')).toBe(root);
    const part = all.slice(range.first, range.first + range.count);
    expect(own.rootFromProof(all.length, range.first, part, range.proof.map(unhex)).toString('hex')).toBe(root);
  });

  it('the farmers nearest to a key', () => {
    const { owner, farmers, nearest } = vectors.rendezvous;
    const distance = (farmer: string) => blake3(unhex(owner), unhex(farmer)).toString('hex');
    expect(nearest).toEqual(farmers.toSorted((a, b) => (distance(a) < distance(b) ? -1 : 1)).slice(0, 9));
  });

  it('every statement', () => {
    const kinds = new Set(vectors.statements.map(({ body }) => body.kind));
    expect(kinds.size).toBe(15);
    for (const { body, signer, bytes } of vectors.statements) {
      const all = unhex(bytes);
      expect(all[0]).toBe(1);
      const outer = read('signed', all.subarray(1)) as { body: string; signer: string; signature: string };
      expect(outer.signer).toBe(signer);
      expect(withoutNulls(read(body.kind, unhex(outer.body)))).toEqual(withoutNulls(body));
      const message = Buffer.concat([Buffer.from(`storj-${body.kind}/1\0`), unhex(outer.body)]);
      expect(own.isSigned(unhex(signer), message, unhex(outer.signature))).toBe(true);
    }
  });

  it('a grant links by hashes and keys, and a share seals its terms', () => {
    const links = vectors.statements.filter(({ body }) => body.kind === 'grant') as unknown as (Vectors['statements'][number] & {
      body: { parent: string | null; audience: string };
    })[];
    expect(links.map(({ body }) => body.parent)).toEqual([null, blake3(unhex(links[0]!.bytes)).toString('hex')]);
    expect(links[1]!.signer).toBe(links[0]!.body.audience);
    const { secret, sealed, plain } = vectors.share;
    const bytes = unhex(sealed);
    const gcm = createDecipheriv('aes-256-gcm', hkdf(unhex(secret), 'storj/1 share terms', 32), bytes.subarray(0, 12));
    gcm.setAuthTag(bytes.subarray(-16));
    expect(Buffer.concat([gcm.update(bytes.subarray(12, -16)), gcm.final()]).toString('hex')).toBe(plain);
  });

  it('every struct', () => {
    for (const { type, value, bytes } of vectors.structs) {
      expect(readers.has(type), type).toBe(true);
      const back = withoutNulls(read(type, unhex(bytes)));
      expect(back, type).toEqual(withoutNulls(type === 'page' || type === 'owner-page' ? withoutEmpty(value) : value));
    }
  });

  it('no struct of the page is without a vector', () => {
    const used = new Set(vectors.structs.map(({ type }) => type));
    const inside = (name: string) => new RegExp(`[[:/ ]${name}[\\],?/ \\n]`).test(page.replaceAll(/^[\w-]+ +=/gm, ''));
    const kinds = vectors.statements.map(({ body }) => body.kind);
    const covered = [...readers.keys()].filter((name) => used.has(name) || kinds.includes(name) || inside(name));
    expect(covered).toEqual([...readers.keys()]);
  });
});

describe('batches', () => {
  const cut = (bytes: Buffer) => {
    const parts: Buffer[] = [];
    let at = 1;
    for (let i = 0; i < 3; i++) {
      const length = bytes.readUInt32BE(at);
      parts.push(bytes.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    const [header, first, second] = parts as [Buffer, Buffer, Buffer];
    return { header, first, second, unsigned: bytes.subarray(0, at), signature: bytes.subarray(at) };
  };

  it('are hashed and signed as the page says', () => {
    for (const { header, hash, bytes } of vectors.batches) {
      const parts = cut(unhex(bytes));
      expect(unhex(bytes)[0]).toBe(1);
      expect(parts.signature).toHaveLength(64);
      expect(read('header', parts.header)).toEqual(header);
      expect(blake3(parts.unsigned).toString('hex')).toBe(hash);
      const message = Buffer.concat([Buffer.from('storj-batch/1\0'), unhex(hash)]);
      expect(own.isSigned(unhex(String(header['logId'])), message, parts.signature)).toBe(true);
    }
  });

  it('open with the keys that come from the words', () => {
    const { header, first, second } = cut(unhex(vectors.batches[0]!.bytes));
    const salt = unhex(String(vectors.batches[0]!.header['salt']));
    const open = (partKey: string, label: string, sealed: Buffer) =>
      own.openGcm(hkdf(unhex(vectors.keys[partKey] as string), label, 32, salt), Buffer.alloc(12), sealed, header);
    const ownerPart = open('ownerPartKey', 'storj/1 batch owner part', first);
    const repairPart = open('repairPartKey', 'storj/1 batch repair part', second);
    const expected = (type: string) => vectors.structs.find((one) => one.type === type)!.bytes;
    expect(ownerPart.toString('hex')).toBe(expected('owner-part'));
    expect(repairPart.toString('hex')).toBe(expected('repair-part'));
  });

  it("open placements with the segment's secret", () => {
    const { first, second } = cut(unhex(vectors.batches[1]!.bytes));
    expect(second).toHaveLength(0);
    const [one] = read('placements', first) as { tag: string; sealed: string }[];
    expect(one!.tag).toBe(vectors.segment.placementTag);
    const key = hkdf(unhex(vectors.segment.secret), 'storj/1 placement', 32);
    const sealed = unhex(one!.sealed);
    const entry = own.openGcm(key, sealed.subarray(0, 12), sealed.subarray(12), Buffer.alloc(0));
    expect(entry.toString('hex')).toBe(vectors.structs.find(({ type }) => type === 'placement-entry')!.bytes);
  });
});

describe('the product', () => {
  it('makes exactly the committed vectors', () => {
    expect(JSON.stringify(buildVectors())).toBe(JSON.stringify(JSON.parse(json)));
  });
});

function withoutNulls(value: unknown): unknown {
  return dropping(value, (one) => one === null);
}
/** In memory, '' stands for no owner. */
function withoutEmpty(value: unknown): unknown {
  return dropping(value, (one) => one === '');
}
function dropping(value: unknown, isDropped: (one: unknown) => boolean): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => dropping(one, isDropped));
  if (value === null || typeof value !== 'object') return value;
  const kept = Object.entries(value).filter(([, one]) => !isDropped(one));
  return Object.fromEntries(kept.map(([name, one]) => [name, dropping(one, isDropped)]));
}
