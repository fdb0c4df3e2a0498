// Free ports on loopback, asked of the system all at once, so that no two answers are the same.
import { createServer } from 'node:net';
import { FarmError } from './farm-folder.ts';

export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** The port, or a free one for 0. FarmError PortTaken names it. */
export async function takePort(port: number, flag: string): Promise<number> {
  if (port === 0) return (await freePorts(1))[0] ?? 0;
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause) =>
      reject(
        new FarmError(
          'PortTaken',
          `Port ${port} on 127.0.0.1 is taken: end what listens there, or choose another with ${flag}.`,
          { cause },
        ),
      ),
    );
    server.listen(port, '127.0.0.1', () => server.close(() => resolve()));
  });
  return port;
}
