// Farmers that lie: each way takes what the farmer would answer and makes something worse of it.
import { bucketHeads, encodeAnswerHead } from '#node/wire/calls.ts';
import { collect } from '#node/wire/framing.ts';
import { CallError, type Service } from '#node/net/net.ts';
import { decodeReceipt, signStatement } from '#node/wire/statements.ts';
import { decodeAnswerHead } from '#node/wire/calls.ts';
import { simKey, type FarmerHome, type World } from './world.ts';

export function liars(world: World, home: FarmerHome): Record<string, (service: Service) => Service> {
  return {
    'wrong bytes': (service) => ({
      async handle(from, call, signal) {
        const answer = await service.handle(from, call, signal);
        return call.operation === 'piece.get' && answer.body
          ? { ...answer, body: flipped(answer.body, world.dice.between(0, 3000)) }
          : answer;
      },
    }),
    'has nothing': (service) => ({
      async handle(from, call, signal) {
        if (call.operation === 'piece.get') throw new CallError('NotFound', 'No such piece.');
        return await service.handle(from, call, signal);
      },
    }),
    'false receipts': (service) => ({
      async handle(from, call, signal) {
        const answer = await service.handle(from, call, signal);
        if (call.operation !== 'piece.put') return answer;
        const { body } = decodeReceipt(decodeAnswerHead('piece.put', answer.head).receipt);
        const forger = world.dice.chance(0.5) ? simKey('forger') : home.keyPair;
        const claim = forger === home.keyPair ? { ...body, pieceRoot: 'ab'.repeat(32) } : body;
        return { head: encodeAnswerHead('piece.put', { receipt: signStatement(forger, claim).bytes }) };
      },
    }),
    'old heads': (service) => {
      const known = new Map<string, Uint8Array>();
      return {
        async handle(from, call, signal) {
          const answer = await service.handle(from, call, signal);
          if (call.operation !== 'log.heads') return answer;
          const name = Buffer.from(call.head).toString('hex');
          const heads = known.get(name) ?? (await collect(answer.body, bucketHeads.maxBytes));
          known.set(name, heads);
          return { head: answer.head, body: once(heads) };
        },
      };
    },
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* flipped(body: AsyncIterable<Uint8Array>, atByte: number): AsyncGenerator<Uint8Array> {
  let passed = 0;
  for await (const chunk of body) {
    const copy = Uint8Array.from(chunk);
    if (atByte >= passed && atByte < passed + copy.length) copy[atByte - passed]! ^= 4;
    passed += copy.length;
    yield copy;
  }
}
