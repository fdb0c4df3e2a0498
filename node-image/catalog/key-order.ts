// Keys are ordered by their UTF-8 bytes, as S3 lists them. JavaScript compares UTF-16 units, which differs
// above U+FFFF, so whatever sorts or seeks works on bytes.

export const keyBytes = (key: string): Buffer => Buffer.from(key, 'utf8');

export const compareKeys = (left: string, right: string): number => Buffer.compare(keyBytes(left), keyBytes(right));

/** The least byte string above everything that starts with `prefix`; null = there is none (empty prefix). */
export function prefixEnd(prefix: Buffer): Buffer | null {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const byte = prefix[at] ?? 0xff;
    if (byte !== 0xff) return Buffer.concat([prefix.subarray(0, at), Buffer.of(byte + 1)]);
  }
  return null;
}

/** The least byte string above `key` itself. */
export const justAfter = (key: Buffer): Buffer => Buffer.concat([key, Buffer.of(0)]);

/** `a/b/c` under prefix `a/` with delimiter `/` → `a/b/`; null where the rest holds no delimiter. */
export function commonPrefix(key: string, prefix: string, delimiter: string): string | null {
  if (delimiter === '') return null;
  const at = key.indexOf(delimiter, prefix.length);
  return at < 0 ? null : key.slice(0, at + delimiter.length);
}

/** Where an upload stands among the uploads of a bucket: by key, then by id. */
export const uploadPosition = (key: string, uploadId: string): Buffer =>
  Buffer.concat([keyBytes(key), Buffer.of(0), keyBytes(uploadId)]);
