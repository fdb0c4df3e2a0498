import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ALGORITHMS, checkType, checkValue, combineParts, createHasher, type Algorithm } from '#node/bridge/s3/checksums.ts';

const digest = async (algorithm: Algorithm, ...parts: Uint8Array[]): Promise<string> => {
  const hasher = await createHasher(algorithm);
  for (const part of parts) hasher.update(part);
  return hasher.digest();
};
const hex = (base64: string) => Buffer.from(base64, 'base64').toString('hex');

describe('checksums', () => {
  it('have the published check values', async () => {
    const check = Buffer.from('123456789');
    expect(hex(await digest('CRC32', check))).toBe('cbf43926');
    expect(hex(await digest('CRC32C', check))).toBe('e3069283');
    expect(hex(await digest('CRC64NVME', check))).toBe('ae8b14860a799888');
    expect(hex(await digest('SHA1', check))).toBe('f7c3bc1d808e04732adf679965ccc34ca7ae3441');
  });

  it('of several bodies at once do not mix', async () => {
    const [one, two] = [await createHasher('CRC64NVME'), await createHasher('CRC64NVME')];
    one.update(Buffer.from('12345'));
    two.update(Buffer.from('other'));
    one.update(Buffer.from('6789'));
    expect(hex(one.digest())).toBe('ae8b14860a799888');
    const again = await createHasher('CRC64NVME');
    again.update(Buffer.from('123456789'));
    expect(hex(again.digest())).toBe('ae8b14860a799888');
    two.digest();
  });

  it('of parts combine to that of the whole', async () => {
    const parts = fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(parts, fc.constantFrom('CRC32', 'CRC32C', 'CRC64NVME' as const), async (list, algorithm) => {
        const rows = await Promise.all(
          list.map(async (bytes) => ({
            sizeBytes: bytes.length,
            checksums: [{ algorithm, value: await digest(algorithm as Algorithm, bytes), type: 'FULL_OBJECT' }],
          })),
        );
        const whole = await combineParts(algorithm, 'FULL_OBJECT', rows);
        expect(whole).toEqual({ algorithm, value: await digest(algorithm as Algorithm, ...list), type: 'FULL_OBJECT' });
      }),
    );
  });

  it('composite ones are a checksum of checksums with the number of parts', async () => {
    const bytes = [Buffer.from('one'), Buffer.from('two')];
    for (const algorithm of ALGORITHMS.filter((one) => one !== 'CRC64NVME')) {
      const values = await Promise.all(bytes.map((part) => digest(algorithm, part)));
      const rows = values.map((value) => ({ sizeBytes: 3, checksums: [{ algorithm, value, type: 'COMPOSITE' }] }));
      const expected = await digest(algorithm, Buffer.concat(values.map((value) => Buffer.from(value, 'base64'))));
      expect((await combineParts(algorithm, 'COMPOSITE', rows))?.value).toBe(`${expected}-2`);
      expect(await combineParts(algorithm, 'COMPOSITE', [...rows, { sizeBytes: 1, checksums: [] }])).toBeNull();
    }
  });

  it('are only taken in their own form and type', () => {
    expect(checkValue('CRC32', 'AAAAAA==')).toBe('AAAAAA==');
    expect(() => checkValue('CRC32', 'AAAA')).toThrow(/x-amz-checksum-crc32/);
    expect(() => checkValue('SHA256', 'no base64!')).toThrow(/invalid/);
    expect(checkType('CRC64NVME', null)).toBe('FULL_OBJECT');
    expect(checkType('SHA256', null)).toBe('COMPOSITE');
    expect(() => checkType('SHA256', 'FULL_OBJECT')).toThrow(/can't be used/);
    expect(() => checkType('CRC64NVME', 'COMPOSITE')).toThrow(/can't be used/);
  });
});
