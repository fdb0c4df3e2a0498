// HTTPS for S3: what of spec.bridge.tls can be served. A Secret that can't be is no reason to take S3 away: the bridge
// stays as it is until the Secret is mended.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { LiveFarm } from '#operator/api.ts';
import type { Context } from '#operator/context.ts';
import type { Live, Secret } from '#operator/kube/resources.ts';
import { find } from '#operator/kube/client.ts';
import { secrets } from '#operator/kube/resources.ts';
import { PORTS } from '#node/interface/ports.ts';

export type TlsFact =
  | { state: 'Off' }
  /** `ca` is empty where the Secret names no authority. */
  | { state: 'On'; secretName: string; ca: string }
  | { state: 'Broken'; message: string };

/** `address` = of the bridge's Service; empty while there is none. */
export async function tlsFact(context: Context, farm: LiveFarm, address: string, signal: AbortSignal): Promise<TlsFact> {
  const name = farm.spec.bridge.tls?.secretRef.name;
  if (name === undefined) return { state: 'Off' };
  const { namespace = '' } = farm.metadata;
  return judgeTls(await find(context.client, secrets, { namespace, name }, { signal }), { namespace, name, address });
}

/** Pure. */
export function judgeTls(
  secret: Live<Secret> | undefined,
  { namespace, name, address }: { namespace: string; name: string; address: string },
): TlsFact {
  const broken = (why: string, remedy: string): TlsFact => ({
    state: 'Broken',
    message: `spec.bridge.tls: the Secret ${name} ${why}, so the bridge stays as it is. ${remedy}, or remove spec.bridge.tls.`,
  });
  const make = `Make it: kubectl -n ${namespace} create secret tls ${name} --cert=FILE --key=FILE`;
  if (!secret) return broken("isn't there", make);
  const read = (field: string): string => Buffer.from(secret.data?.[field] ?? '', 'base64').toString('utf8');
  try {
    const certificate = new X509Certificate(read('tls.crt'));
    if (!certificate.checkPrivateKey(createPrivateKey(read('tls.key'))))
      return broken('has a tls.key that is not the one of its tls.crt', 'Put in the right pair');
    if (address !== '' && certificate.checkIP(address) === undefined)
      return broken(
        `has a certificate that doesn't name ${address}`,
        `Have one made with IP:${address} among its subjectAltNames`,
      );
  } catch {
    return broken('holds no certificate and key in tls.crt and tls.key', make);
  }
  return { state: 'On', secretName: name, ca: read('ca.crt') };
}

/** Where S3 is. What is broken is served as before. */
export function endpointOf(farm: LiveFarm, tls: TlsFact, address: string): string {
  const isBefore = farm.status?.endpoints?.s3?.startsWith('https:') ?? false;
  const isTls = tls.state === 'On' || (tls.state === 'Broken' && isBefore);
  return `${isTls ? 'https' : 'http'}://${address.includes(':') ? `[${address}]` : address}:${PORTS.s3}`;
}
