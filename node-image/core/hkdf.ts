// Every secret is derived from another by HKDF-SHA-256 under a label of its own (PROTOCOL.md lists them),
// so that no two uses can ever yield the same bytes.
import { hkdfSync } from 'node:crypto';

const NO_SALT = new Uint8Array(0);

/** HKDF-SHA-256. `info` is the label; `salt` separates instances under one label. */
export function hkdf(secret: Uint8Array, info: string, length: number, salt: Uint8Array = NO_SALT): Uint8Array<ArrayBuffer> {
  return new Uint8Array(hkdfSync('sha256', secret, salt, info, length));
}
