// S3's object checksums: how each is computed, under which header it travels, and what one means for an
// object of several parts.
import { createHash } from 'node:crypto';
import { crc32, crc32c } from '@node-rs/crc32';
import { createCRC64, type IHasher } from 'hash-wasm';
import type { Checksum } from '#node/catalog/catalog.ts';
import { combineCrcs, CRC32, CRC32C, CRC64NVME, type CrcKind } from './crc-combine.ts';
import { S3Error } from './errors.ts';

export const ALGORITHMS = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];
export type ChecksumType = 'FULL_OBJECT' | 'COMPOSITE';

const CRCS: Partial<Record<Algorithm, CrcKind>> = { CRC32, CRC32C, CRC64NVME };
const BYTES: Record<Algorithm, number> = { CRC32: 4, CRC32C: 4, CRC64NVME: 8, SHA1: 20, SHA256: 32 };
const CRC64_POLYNOMIAL = '9a6c9329ac4bc9b5';

export const headerName = (algorithm: string): string => `x-amz-checksum-${algorithm.toLowerCase()}`;
/** Element of XML answers. */
export const elementName = (algorithm: string): string => `Checksum${algorithm}`;

export function parseAlgorithm(text: string): Algorithm {
  const found = ALGORITHMS.find((algorithm) => algorithm === text.toUpperCase());
  if (found === undefined) throw new S3Error('InvalidRequest', `The checksum algorithm must be one of ${ALGORITHMS.join(', ')}`);
  return found;
}
export function algorithmOfHeader(name: string): Algorithm | null {
  return ALGORITHMS.find((algorithm) => headerName(algorithm) === name.toLowerCase()) ?? null;
}

export interface Hasher {
  update(bytes: Uint8Array): void;
  /** Base64. Once. */
  digest(): string;
}

// hash-wasm takes a WebAssembly instance for each hasher: used ones are kept for the next body.
const idleCrc64: IHasher[] = [];
const MAX_IDLE = 64;

export async function createHasher(algorithm: Algorithm): Promise<Hasher> {
  if (algorithm === 'SHA1' || algorithm === 'SHA256') {
    const hash = createHash(algorithm.toLowerCase());
    return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest('base64') };
  }
  if (algorithm === 'CRC64NVME') {
    const hasher = idleCrc64.pop() ?? (await createCRC64(CRC64_POLYNOMIAL));
    hasher.init();
    return {
      update: (bytes) => void hasher.update(bytes),
      digest: () => {
        const value = Buffer.from(hasher.digest('binary')).toString('base64');
        if (idleCrc64.length < MAX_IDLE) idleCrc64.push(hasher);
        return value;
      },
    };
  }
  const step = algorithm === 'CRC32' ? crc32 : crc32c;
  let state = 0;
  return {
    update: (bytes) => {
      state = step(bytes, state);
    },
    digest: () => {
      const value = Buffer.alloc(4);
      value.writeUInt32BE(state);
      return value.toString('base64');
    },
  };
}

/** Throws InvalidRequest where the value can't be one of that algorithm. */
export function checkValue(algorithm: Algorithm, value: string): string {
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length !== BYTES[algorithm] || bytes.toString('base64') !== value) {
    throw new S3Error('InvalidRequest', `Value for ${headerName(algorithm)} header is invalid.`);
  }
  return value;
}

export function checkType(algorithm: Algorithm, text: string | null): ChecksumType {
  const type = text?.toUpperCase() ?? (algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE');
  const possible =
    algorithm === 'CRC64NVME' ? ['FULL_OBJECT'] : CRCS[algorithm] === undefined ? ['COMPOSITE'] : ['FULL_OBJECT', 'COMPOSITE'];
  if (!possible.includes(type)) throw new S3Error('InvalidRequest', `The checksum type ${type} can't be used with ${algorithm}`);
  return type as ChecksumType;
}

/** Checksum of an object from those of its parts, in order; null where a part has none of the algorithm. */
export async function combineParts(
  algorithm: Algorithm,
  type: ChecksumType,
  parts: readonly { sizeBytes: number; checksums: readonly Checksum[] }[],
): Promise<Checksum | null> {
  const values = parts.map((part) => part.checksums.find((checksum) => checksum.algorithm === algorithm)?.value);
  if (values.length === 0 || values.some((value) => value === undefined)) return null;
  const raw = values.map((value) => Buffer.from(value ?? '', 'base64'));
  if (type === 'COMPOSITE') {
    const hasher = await createHasher(algorithm);
    hasher.update(Buffer.concat(raw));
    return { algorithm, value: `${hasher.digest()}-${parts.length}`, type };
  }
  const kind = CRCS[algorithm];
  if (kind === undefined) return null;
  const crcs = raw.map((bytes, at) => ({ crc: BigInt(`0x${bytes.toString('hex')}`), lengthBytes: parts[at]?.sizeBytes ?? 0 }));
  const hex = combineCrcs(kind, crcs)
    .toString(16)
    .padStart(kind.bits / 4, '0');
  return { algorithm, value: Buffer.from(hex, 'hex').toString('base64'), type };
}
