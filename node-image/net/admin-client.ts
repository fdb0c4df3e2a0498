// Calls the admin port of a node with the certificate of the farm's control key, and takes the answer
// only from the identity that is expected there, where one is known.
import { Client } from 'undici';
import type { KeyPair } from '#node/core/keys.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { provenConnector } from './https-pieces.ts';
import { tlsIdentity } from './tls-identity.ts';

/** Answers and bodies of admin calls: a roster of 10,000 farmers is under 10 MiB. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 5_000;

export class AdminError extends Error {
  /** Unreachable = no answer; else the node's own word. */
  readonly code: 'Unreachable' | 'Refused';
  /** HTTP status; 0 when unreachable. */
  readonly status: number;
  constructor(code: 'Unreachable' | 'Refused', status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AdminError';
    this.code = code;
    this.status = status;
  }
}

interface AdminCall {
  /** https://host:port */
  url: string;
  method: 'GET' | 'PUT' | 'POST';
  path: string;
  body?: unknown;
  /** Who must answer; absent where any node of the pod will do. */
  expect?: PublicKey;
  signal: AbortSignal;
}

export interface AdminClient {
  /** The JSON answer. Rejects with AdminError. */
  call(call: AdminCall): Promise<unknown>;
}

export async function adminClient(control: KeyPair): Promise<AdminClient> {
  const identity = await tlsIdentity(control);
  return {
    call: async ({ url, method, path, body, expect, signal }) => {
      const connect = provenConnector(identity, expect ?? null, CONNECT_TIMEOUT_MS);
      const client = new Client(url, { connect, headersTimeout: 30_000, bodyTimeout: 30_000, maxResponseSize: MAX_ANSWER_BYTES });
      try {
        const response = await client.request({
          method,
          path,
          signal,
          ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
        });
        const text = await response.body.text();
        if (response.statusCode >= 300)
          throw new AdminError(
            'Refused',
            response.statusCode,
            `${method} ${path}: ${response.statusCode} ${text.slice(0, 1000)}`,
          );
        return text === '' ? null : (JSON.parse(text) as unknown);
      } catch (cause) {
        if (cause instanceof AdminError) throw cause;
        throw new AdminError(
          'Unreachable',
          0,
          `${method} ${url}${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
          { cause },
        );
      } finally {
        await client.destroy();
      }
    },
  };
}
