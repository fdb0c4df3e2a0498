// The other end of the physical bounds, a process of its own: the same TLS with nothing behind it, and a
// file that is appended to and synced.
//   POST /discard            reads the body and answers
//   POST /append             writes the body to the file, fdatasync, answers
//   POST /send/BYTES         answers so many bytes
//   message {files, bytes}   appends so many bytes so often, each followed by fdatasync; answers when done
import { randomBytes } from 'node:crypto';
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { TLS_OPTIONS, tlsIdentity } from '#node/net/tls-identity.ts';

const CHUNK = Buffer.alloc(1024 * 1024, 7);

const file = openSync(process.argv[2]!, 'a');
const { cert, key } = await tlsIdentity(keyPairFromSeed(new Uint8Array(randomBytes(32))));
const server = createServer({ ...TLS_OPTIONS, cert, key, keepAliveTimeout: 60_000 }, (request, response) => {
  answer(request, response).catch((error: unknown) => response.destroy(error as Error));
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));

process.on('message', ({ writes, bytes, perSync }: { writes: number; bytes: number; perSync: number }) => {
  append(writes, bytes, perSync);
  process.send?.({ done: true });
});
process.on('disconnect', () => {
  closeSync(file);
  process.exit(0);
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, verb, size] = request.url!.split('/');
  if (verb === 'append') {
    const body: Buffer[] = [];
    for await (const chunk of request) body.push(chunk as Buffer);
    writeSync(file, Buffer.concat(body));
    fdatasyncSync(file);
  } else for await (const _ of request);
  for (let left = Number(size ?? 0); left > 0; left -= CHUNK.length) {
    if (!response.write(CHUNK.subarray(0, Math.min(left, CHUNK.length)))) await once(response, 'drain');
  }
  response.end();
}

function append(writes: number, bytes: number, perSync: number): void {
  const chunk = CHUNK.subarray(0, Math.min(bytes, CHUNK.length));
  for (let write = 1; write <= writes; write++) {
    for (let left = bytes; left > 0; left -= chunk.length) writeSync(file, chunk.subarray(0, Math.min(left, chunk.length)));
    if (write % perSync === 0) fdatasyncSync(file);
  }
}
