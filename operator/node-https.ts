// The real nodes: HTTPS with libp2p certificates. Each answer is taken only from the identity that is expected, and
// checked against the contract in node-image/interface.
import type { KeyPair } from '#node/core/keys.ts';
import type { NodeAddress, Nodes } from './nodes.ts';
import type { ZodType } from 'zod';
import { grantAnswerSchema, ownerAnswerSchema } from '#node/interface/config.ts';
import { PORTS } from '#node/interface/ports.ts';
import { bridgeStatusSchema, farmerStatusSchema, farmReportSchema } from '#node/interface/status.ts';
import { AdminError, adminClient, type AdminClient } from '#node/net/admin-client.ts';
import { firstContact } from '#node/net/first-contact.ts';
import { NodeError } from './nodes.ts';

/** Certificates of control keys are made once; farms are few. */
const maxClients = 256;

export function createHttpsNodes(ports: { admin: number; pieces: number } = PORTS): Nodes {
  const clients = new Map<string, Promise<AdminClient>>();
  const clientOf = (control: KeyPair): Promise<AdminClient> => {
    const known = clients.get(control.publicKey);
    if (known) return known;
    if (clients.size >= maxClients) clients.delete(clients.keys().next().value ?? '');
    const made = adminClient(control);
    made.catch(() => clients.delete(control.publicKey));
    clients.set(control.publicKey, made);
    return made;
  };
  const call = async (
    { pod, host, identity }: NodeAddress,
    control: KeyPair,
    request: { method: 'GET' | 'PUT' | 'POST'; path: string; body?: unknown },
    signal: AbortSignal,
  ): Promise<unknown> => {
    const client = await clientOf(control);
    const url = `https://${host.includes(':') ? `[${host}]` : host}:${ports.admin}`;
    try {
      return await client.call({ url, ...request, ...(identity === undefined ? {} : { expect: identity }), signal });
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      throw new NodeError(error.code, `${pod}: ${error.message}`, { status: error.status, cause: error });
    }
  };
  const read = async <T>(
    address: NodeAddress,
    control: KeyPair,
    path: string,
    schema: ZodType<T>,
    signal: AbortSignal,
  ): Promise<T> => parse(address, path, schema, await call(address, control, { method: 'GET', path }, signal));

  return {
    async firstContact({ pod, host }, signal) {
      try {
        const { publicKey, peerId } = await firstContact({ host, port: ports.pieces }, signal);
        return { farmer: publicKey, peerId };
      } catch (cause) {
        throw new NodeError('Unreachable', `${pod}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
      }
    },
    farmerStatus: (address, control, signal) => read(address, control, '/status', farmerStatusSchema, signal),
    bridgeStatus: (address, control, signal) => read(address, control, '/status', bridgeStatusSchema, signal),
    farmReport: (address, control, signal) => read(address, control, '/report', farmReportSchema, signal),
    async putConfig(address, control, body, signal) {
      await call(address, control, { method: 'PUT', path: '/admin/config', body }, signal);
    },
    async putBuckets(address, control, body, signal) {
      await call(address, control, { method: 'PUT', path: '/admin/buckets', body }, signal);
    },
    async postOwner(address, control, words, signal) {
      const path = '/admin/owners';
      const answer = await call(address, control, { method: 'POST', path, body: { words } }, signal);
      return parse(address, path, ownerAnswerSchema, answer).owner;
    },
    async postGrant(address, control, body, signal) {
      const path = '/admin/grants';
      return parse(address, path, grantAnswerSchema, await call(address, control, { method: 'POST', path, body }, signal));
    },
    async deleteBucket(address, control, body, signal) {
      try {
        await call(address, control, { method: 'POST', path: '/admin/buckets/delete', body }, signal);
      } catch (error) {
        if (!(error instanceof NodeError) || error.status !== 404) throw error;
      }
    },
  };
}

function parse<T>({ pod }: NodeAddress, path: string, schema: ZodType<T>, answer: unknown): T {
  const result = schema.safeParse(answer);
  if (result.success) return result.data;
  throw new NodeError('BadAnswer', `${pod}: the answer to ${path} isn't what the contract says: ${result.error.message}`);
}
