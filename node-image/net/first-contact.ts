// Who answers at an address? The identity in the certificate of a farmer's piece plane, read before the
// farmer is in any roster. The operator and the local farm record it at first contact.
import { connect } from 'node:tls';
import { peerIdOf } from '#node/core/ids.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { CallError } from './net.ts';
import { provePeer, TLS_OPTIONS } from './tls-identity.ts';

export interface Identity {
  publicKey: PublicKey;
  peerId: string;
}

/** Rejects with CallError Unreachable (nobody answers in time) or WrongPeer (no libp2p certificate). */
export async function firstContact(address: { host: string; port: number }, signal: AbortSignal): Promise<Identity> {
  const raw = await new Promise<Uint8Array | undefined>((resolve, reject) => {
    const where = `${address.host}:${address.port}`;
    const fail = (cause: unknown) => reject(new CallError('Unreachable', `nobody answers at ${where}`, { cause }));
    const socket = connect({ ...address, ...TLS_OPTIONS });
    const onAbort = () => socket.destroy(new Error('aborted'));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', fail);
    socket.once('close', () => {
      signal.removeEventListener('abort', onAbort);
      fail(new Error('closed'));
    });
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().raw);
      socket.destroy();
    });
    if (signal.aborted) onAbort();
  });
  const publicKey = await provePeer(raw);
  return { publicKey, peerId: peerIdOf(publicKey) };
}
