import { X509Certificate } from 'node:crypto';
import { expect, it } from 'vitest';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { provePeer, tlsIdentity } from '#node/net/tls-identity.ts';

const keyPair = keyPairFromSeed(new Uint8Array(32).fill(5));
const { cert } = await tlsIdentity(keyPair);
const der = new X509Certificate(cert).raw;

function changed(change: (bytes: Buffer) => Buffer | void): Promise<string> {
  const bytes = Buffer.from(der);
  return provePeer(change(bytes) ?? bytes);
}

it('proves the libp2p key that a certificate carries', async () => {
  expect(await provePeer(der)).toBe(keyPair.publicKey);
});

it('refuses other forms of the same certificate: bytes behind it, a signature that is not DER', async () => {
  await expect(changed((bytes) => Buffer.concat([bytes, Buffer.alloc(1)]))).rejects.toMatchObject({ code: 'WrongPeer' });
  // The two numbers of the signature, up to the certificate's end.
  const start = der.findIndex((byte, at) => at > der.length - 76 && byte === 0x30 && der[at + 1] === der.length - at - 2);
  const shorter = changed((bytes) => bytes.fill(bytes[start + 1]! - 0x11, start + 1, start + 2));
  await expect(shorter).rejects.toMatchObject({ code: 'WrongPeer' });
});

it('refuses a certificate of which any byte differs', async () => {
  for (let at = 0; at < der.length; at += 7) {
    await expect(changed((bytes) => bytes.fill(bytes[at]! ^ 1, at, at + 1))).rejects.toMatchObject({ code: 'WrongPeer' });
  }
});
