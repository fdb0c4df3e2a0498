// Real libp2p nodes on loopback: the control protocol that makes one address enough.
import { afterEach, describe, expect, it } from 'vitest';
import { keyPairFromSeed } from '#node/core/keys.ts';
import { peerIdOf } from '#node/core/ids.ts';
import { CallError, type Service } from '#node/net/net.ts';
import { startLibp2pNode, type Libp2pNode } from '#node/net/libp2p-node.ts';
import { collect } from '#node/wire/framing.ts';

const keyPair = (n: number) => keyPairFromSeed(new Uint8Array(32).fill(n));
const nodes: Libp2pNode[] = [];
afterEach(async () => void (await Promise.all(nodes.splice(0).map((node) => node.close()))));

async function start(n: number, service?: Service): Promise<Libp2pNode> {
  const node = await startLibp2pNode({
    keyPair: keyPair(n),
    listen: { host: '127.0.0.1', port: 0 },
    announceHost: '127.0.0.1',
    ...(service ? { service } : {}),
  });
  nodes.push(node);
  return node;
}

const echo: Service = {
  handle: async (from, call) => ({ head: call.head, body: bytes(Buffer.from(`${from} asks ${call.operation}`)) }),
};
async function* bytes(...parts: Uint8Array[]) {
  yield* parts;
}
const signal = () => AbortSignal.timeout(20_000);

describe('the libp2p node', () => {
  it('announces its peer id, and the asker is known by its own', async () => {
    const farmer = await start(1, echo);
    const asker = await start(2);
    const [address = ''] = farmer.multiaddrs();
    expect(address).toMatch(new RegExp(`^/ip4/127.0.0.1/tcp/\\d+/p2p/${peerIdOf(keyPair(1).publicKey)}$`));
    const { head, body } = await asker.ask(address, { operation: 'farm.members', head: Uint8Array.of(7) }, signal());
    expect(head).toEqual(Uint8Array.of(7));
    expect(Buffer.from(await collect(body, 1000)).toString()).toBe(`${keyPair(2).publicKey} asks farm.members`);
  });

  it('carries large answers and many calls at once on one kept stream', async () => {
    const large = Buffer.alloc(5_000_000, 'x');
    const farmer = await start(1, {
      handle: async (_from, call) => ({ head: call.head, body: bytes(large, large.subarray(0, 1_000_000)) }),
    });
    const asker = await start(2);
    const [address = ''] = farmer.multiaddrs();
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const answer = await asker.ask(address, { operation: 'roots.get', head: Uint8Array.of(index) }, signal());
        return [answer.head[0], (await collect(answer.body, 7_000_000)).length];
      }),
    );
    expect(answers).toEqual(Array.from({ length: 12 }, (_, index) => [index, 6_000_000]));
  });

  it('carries refusals with their code, refuses what belongs on HTTPS, and lets nobody wait for ever', async () => {
    const farmer = await start(1, {
      handle: async (_from, call, ended) => {
        if (call.operation === 'roots.get') throw new CallError('Forbidden', 'not you');
        return await new Promise((_resolve, reject) => ended.addEventListener('abort', () => reject(ended.reason as Error)));
      },
    });
    const asker = await start(2);
    const [address = ''] = farmer.multiaddrs();
    await expect(asker.ask(address, { operation: 'roots.get', head: new Uint8Array(0) }, signal())).rejects.toMatchObject({
      code: 'Forbidden',
      message: 'not you',
    });
    await expect(asker.ask(address, { operation: 'piece.get', head: new Uint8Array(0) }, signal())).rejects.toMatchObject({
      code: 'BadRequest',
    });
    await expect(
      asker.ask(address, { operation: 'farm.members', head: new Uint8Array(0) }, AbortSignal.timeout(300)),
    ).rejects.toMatchObject({ code: 'Aborted' });
  });

  it('another identity at the address is refused, and a closed node is dialled anew after its return', async () => {
    const farmer = await start(1, echo);
    const asker = await start(2);
    const [address = ''] = farmer.multiaddrs();
    const wrong = address.replace(peerIdOf(keyPair(1).publicKey), peerIdOf(keyPair(3).publicKey));
    await expect(asker.ask(wrong, { operation: 'farm.members', head: new Uint8Array(0) }, signal())).rejects.toMatchObject({
      code: 'Unreachable',
    });
    await asker.ask(address, { operation: 'farm.members', head: new Uint8Array(0) }, signal());
    await farmer.close();
    const port = Number(/tcp\/(\d+)/.exec(address)?.[1]);
    await expect(asker.ask(address, { operation: 'farm.members', head: new Uint8Array(0) }, signal())).rejects.toBeInstanceOf(
      CallError,
    );
    nodes.push(await startLibp2pNode({ keyPair: keyPair(1), listen: { host: '127.0.0.1', port }, service: echo }));
    await expect
      .poll(
        () =>
          asker.ask(address, { operation: 'farm.members', head: new Uint8Array(0) }, signal()).then(
            () => 'answers',
            () => 'silent',
          ),
        { timeout: 15_000 },
      )
      .toBe('answers');
  });
});
