// The API server's audit log of the local cluster: who wrote what.
import { readFileSync } from 'node:fs';

export interface AuditEvent {
  stage: string;
  verb: string;
  requestURI: string;
  user: { username: string };
  sourceIPs: string[];
  objectRef?: { resource: string; namespace?: string; name?: string; subresource?: string };
  responseStatus?: { code: number };
  requestReceivedTimestamp: string;
}

const WRITES = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

/** Finished calls of one user, in order. */
export function callsOf(file: string, username: string): AuditEvent[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes(username) && line.endsWith('}'))
    .map((line) => JSON.parse(line) as AuditEvent)
    .filter((event) => event.user.username === username && event.stage === 'ResponseComplete');
}

/** Those that change something, but for Leases. */
export function writesOf(file: string, username: string): AuditEvent[] {
  return callsOf(file, username).filter((event) => WRITES.has(event.verb) && event.objectRef?.resource !== 'leases');
}
