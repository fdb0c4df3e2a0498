import { createHash, randomBytes } from 'node:crypto';
import https from 'node:https';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { httpsNetwork, servePieces, type PieceServer } from '#node/net/https-pieces.ts';
import { tlsIdentity, TLS_OPTIONS } from '#node/net/tls-identity.ts';
import { networkExam } from '#test/suites/network.ts';

networkExam('https', async () => {
  const servers = new Map<string, PieceServer>();
  return {
    async serve(key, service) {
      const server = await servePieces({ identity: await tlsIdentity(key), service, host: '127.0.0.1', port: 0 });
      servers.set(server.url, server);
      return { farmer: key.publicKey, url: server.url };
    },
    kill: async ({ url }) => await servers.get(url)!.close(AbortSignal.abort()),
    network: async (key) => httpsNetwork({ identity: await tlsIdentity(key) }),
    stop: async () => void (await Promise.all([...servers.values()].map((server) => server.close(AbortSignal.abort())))),
  };
});

const newKey = () => keyPairFromSeed(new Uint8Array(randomBytes(32)));

it('answers 401 to whoever shows no libp2p certificate, before any service hears of it', async () => {
  let calls = 0;
  const handle = async () => ({ head: Uint8Array.of(++calls) });
  const server = await servePieces({ identity: await tlsIdentity(newKey()), service: { handle }, host: '127.0.0.1', port: 0 });

  const status = await new Promise((resolve, reject) => {
    const request = https.request(`${server.url}/v1/farm.members`, { ...TLS_OPTIONS, method: 'POST' }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('error', reject).end();
  });

  expect({ status, calls }).toEqual({ status: 401, calls: 0 });
  await server.close(AbortSignal.abort());
});

it('checks identities once for each connection and keeps connections', async () => {
  const seen = new Set<string>();
  const connections = new Set<unknown>();
  const server = await servePieces({
    identity: await tlsIdentity(newKey()),
    service: { handle: async (from) => (seen.add(from), { head: new Uint8Array(0) }) },
    host: '127.0.0.1',
    port: 0,
  });
  const client = newKey();
  const network = httpsNetwork({ identity: await tlsIdentity(client), connectionsPerPeer: 2 });
  const wrong = { farmer: newKey().publicKey, url: server.url };
  const signal = AbortSignal.timeout(10_000);
  await expect(network.call(wrong, { operation: 'farm.members', head: new Uint8Array(0) }, signal)).rejects.toMatchObject({
    code: 'WrongPeer',
  });
  expect(seen.size).toBe(0);
  expect(connections.size).toBe(0);
  await network.close();
  await server.close(AbortSignal.abort());
});

it('gives up when told to, also at a peer that takes the connection and hangs', async () => {
  const hung = createServer();
  await new Promise<void>((resolve) => hung.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(hung.address() as AddressInfo).port}`;
  const network = httpsNetwork({ identity: await tlsIdentity(newKey()), connectTimeoutMs: 600_000 });
  const call = { operation: 'farm.members', head: new Uint8Array(0) } as const;
  const abort = new AbortController();
  const [first, second] = [1, 2].map(() => network.call({ farmer: newKey().publicKey, url }, call, abort.signal));
  const sockets: Socket[] = [];
  hung.on('connection', (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    abort.abort();
  });
  await expect(first).rejects.toMatchObject({ code: 'Aborted' });
  await expect(second).rejects.toMatchObject({ code: 'Aborted' });
  for (const socket of sockets) socket.destroy();
  await network.close();
  hung.close();
});

it('rejects a port that is taken', async () => {
  const identity = await tlsIdentity(newKey());
  const service = { handle: async () => ({ head: new Uint8Array(0) }) };
  const server = await servePieces({ identity, service, host: '127.0.0.1', port: 0 });

  await expect(servePieces({ identity, service, host: '127.0.0.1', port: server.port })).rejects.toMatchObject({
    code: 'EADDRINUSE',
  });
  await server.close(AbortSignal.abort());
});

it('moves 64 MiB in parallel pieces without mixing them up', async () => {
  const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const service = {
    async handle(_from: string, call: { body?: AsyncIterable<Uint8Array> }) {
      const digest = createHash('sha256');
      for await (const chunk of call.body!) digest.update(chunk);
      return { head: new Uint8Array(digest.digest()) };
    },
  };
  const key = newKey();
  const server = await servePieces({ identity: await tlsIdentity(key), service, host: '127.0.0.1', port: 0 });
  const network = httpsNetwork({ identity: await tlsIdentity(newKey()) });
  const piecesOut = Array.from({ length: 32 }, () => new Uint8Array(randomBytes(2 * 1024 * 1024)));

  const answers = await Promise.all(
    piecesOut.map((piece) => {
      const body = (async function* () {
        for (let at = 0; at < piece.length; at += 65_536) yield piece.subarray(at, at + 65_536);
      })();
      return network.call(
        { farmer: key.publicKey, url: server.url },
        { operation: 'piece.put', head: new Uint8Array(0), body },
        AbortSignal.timeout(60_000),
      );
    }),
  );

  expect(answers.map(({ head }) => Buffer.from(head).toString('hex'))).toEqual(piecesOut.map(hash));
  await network.close();
  await server.close(AbortSignal.abort());
});
