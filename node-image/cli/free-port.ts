// Free ports on loopback. They are taken from below the range out of which systems take ports for outgoing connections
// (Linux from 32768 on, others from 49152 on): such a connection could sit on the port of a farm that is stopped for a
// moment. And they are chosen by chance: two farms that start at the same time hardly choose the same.
import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { FarmError } from './farm-folder.ts';

const HOST = '127.0.0.1';
const FIRST_PORT = 20_000;
const END_PORT = 30_000;
const MAX_TRIES = 1_000;

/** All different. FarmError PortTaken where hardly any is free. */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, Server>();
  try {
    for (let tries = 0; held.size < count; tries++) {
      if (tries === count + MAX_TRIES) {
        const message = `Too few ports of ${FIRST_PORT} to ${END_PORT - 1} on ${HOST} are free: ${count} are needed.`;
        throw new FarmError('PortTaken', message);
      }
      const port = randomInt(FIRST_PORT, END_PORT);
      const server = held.has(port) ? null : await listen(port).catch(() => null);
      if (server) held.set(port, server);
    }
    return [...held.keys()];
  } finally {
    await Promise.all([...held.values()].map(close));
  }
}

/** The port, or a free one for 0. FarmError PortTaken names it. */
export async function takePort(port: number, flag: string): Promise<number> {
  if (port === 0) return (await freePorts(1))[0]!;
  const server = await listen(port).catch((cause: unknown) => {
    const message = `Port ${port} on ${HOST} is taken: end what listens there, or choose another with ${flag}.`;
    throw new FarmError('PortTaken', message, { cause });
  });
  await close(server);
  return port;
}

function listen(port: number): Promise<Server> {
  const server = createServer();
  return new Promise((resolve, reject) => server.once('error', reject).listen(port, HOST, () => resolve(server)));
}

const close = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
