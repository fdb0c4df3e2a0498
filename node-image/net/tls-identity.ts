// Who is at the other end of a TLS connection: both sides show a self-signed certificate that carries
// their libp2p key and its signature over the certificate's own (libp2p TLS specification).
import { createHash, X509Certificate } from 'node:crypto';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { generateCertificate, verifyPeerCertificate } from '@libp2p/tls/utils';
import { toHex } from '#node/core/ids.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { CallError } from './net.ts';

export interface TlsIdentity {
  readonly publicKey: PublicKey;
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

/** One suite: the fastest in native code. Resumption is off everywhere: a resumed connection shows no certificate. */
export const TLS_OPTIONS = {
  minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
  rejectUnauthorized: false,
} as const;

/** A fresh certificate for this key; once per process is enough. */
export async function tlsIdentity(keyPair: KeyPair): Promise<TlsIdentity> {
  const key = await generateKeyPairFromSeed('Ed25519', keyPair.seed);
  return { publicKey: keyPair.publicKey, ...(await generateCertificate(key)) };
}

/** Checking a certificate costs 3 ms and each process shows the same one on all its connections. */
const MAX_PROVEN = 4096;
const proven = new Map<string, PublicKey>();

/** The key that a connection's certificate proves. Rejects with WrongPeer for none, a foreign kind or a wrong proof. */
export async function provePeer(certificate: Uint8Array | undefined): Promise<PublicKey> {
  if (!certificate) throw new CallError('WrongPeer', 'The peer showed no certificate. It must show a libp2p certificate.');
  const fingerprint = createHash('sha256').update(certificate).digest('base64');
  const known = proven.get(fingerprint);
  if (known) return known;
  const publicKey = await verify(certificate);
  if (proven.size >= MAX_PROVEN) proven.delete(proven.keys().next().value ?? '');
  proven.set(fingerprint, publicKey);
  return publicKey;
}

async function verify(certificate: Uint8Array): Promise<PublicKey> {
  try {
    const strict = new X509Certificate(certificate);
    // What lies behind a certificate is no part of it, and nobody signed it.
    if (strict.raw.length !== certificate.length) throw new Error('bytes behind its end');
    // libp2p's check also takes a signature that isn't encoded as DER demands: one certificate would have many forms.
    if (!strict.verify(strict.publicKey)) throw new Error('not signed by its own key');
    const peerId = await verifyPeerCertificate(certificate);
    if (peerId.type === 'Ed25519') return toHex(peerId.publicKey.raw);
  } catch (cause) {
    throw new CallError('WrongPeer', "The peer's certificate is not a valid libp2p certificate.", { cause });
  }
  throw new CallError('WrongPeer', "The peer's key is not an Ed25519 key.");
}
