// What is fuzzed: every decoder, everything that is signed or sealed, every call of a real farmer, certificates.
import { startFarmer, type Farmer } from '#node/farmer/farmer.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { memoryNet } from '#node/net/memory-network.ts';
import { CallError, type Operation } from '#node/net/net.ts';
import { provePeer } from '#node/net/tls-identity.ts';
import { verifyBatch } from '#node/wire/batch.ts';
import { encodeCallHead, type Heads } from '#node/wire/calls.ts';
import { WireError } from '#node/wire/codec.ts';
import { frameAll } from '#node/wire/framing.ts';
import {
  decodeCutStatement,
  decodeGrant,
  decodeMembership,
  decodeReceipt,
  decodeRootStatement,
  decodeSealOrder,
  verifySigned,
} from '#node/wire/statements.ts';
import { createFarmConfigStore } from '#node/admin/farm-config-store.ts';
import { decoders } from '#test/node-image/wire/decoders.ts';
import * as callSamples from '#test/node-image/wire/call-samples.ts';
import * as samples from '#test/node-image/wire/samples.ts';
import { faultyDisk } from '#test/support/faulty-disk.ts';
import type { Dice } from '#test/simulation/virtual-time.ts';
import { damaged } from './damage.ts';

/** Thrown for what must never happen. */
export class Finding extends Error {
  readonly code = 'Finding';
}

export interface Target {
  name: string;
  /** How often it comes, against the others. */
  weight: number;
  /** One case. Throws Finding, or whatever crashed. */
  run(dice: Dice): void | Promise<void>;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Errors that say "not this": everything else is a crash. */
function isRefusal(error: unknown): boolean {
  return error instanceof WireError || error instanceof CallError;
}

function decoderTargets(): Target[] {
  const all = decoders.map(({ valid }) => valid);
  return decoders.map(({ name, valid, read }) => ({
    name: `decoder: ${name}`,
    weight: 1,
    run(dice) {
      const bytes = damaged(dice, valid, all);
      let again: Uint8Array | null;
      try {
        again = read(bytes);
      } catch (error) {
        if (isRefusal(error)) return;
        throw error;
      }
      if (again && hex(again) !== hex(bytes)) throw new Finding(`${name} takes two encodings of one value: ${hex(bytes)}`);
    },
  }));
}

/** Signed or sealed bytes: changed, they are never taken. `take` returns false, or throws a refusal, for what it doesn't. */
function sealedTarget(name: string, valid: Uint8Array, take: (bytes: Uint8Array) => boolean): Target {
  if (!take(valid.slice())) throw new Finding(`${name}: the example itself isn't taken`);
  return {
    name: `signed: ${name}`,
    weight: 1,
    run(dice) {
      const bytes = damaged(dice, valid, [valid]);
      if (hex(bytes) === hex(valid)) return;
      try {
        if (!take(bytes)) return;
      } catch (error) {
        if (isRefusal(error)) return;
        throw error;
      }
      throw new Finding(`${name} is taken with other bytes: ${hex(bytes)}`);
    },
  };
}

function signedTargets(): Target[] {
  const { batch } = samples;
  return [
    ...samples.roots.map((one) => sealedTarget(one.body.kind, one.bytes, (bytes) => verifySigned(decodeRootStatement(bytes)))),
    sealedTarget('membership', samples.membership.bytes, (bytes) => verifySigned(decodeMembership(bytes))),
    sealedTarget('receipt', samples.receipt.bytes, (bytes) => verifySigned(decodeReceipt(bytes))),
    sealedTarget('seal order', samples.sealOrder.bytes, (bytes) => verifySigned(decodeSealOrder(bytes))),
    sealedTarget('cut', samples.cutStatement.bytes, (bytes) => verifySigned(decodeCutStatement(bytes))),
    ...samples.workerGrant.map((one) => sealedTarget('grant', one.bytes, (bytes) => verifySigned(decodeGrant(bytes)))),
    sealedTarget('batch', batch.bytes, (bytes) => verifyBatch(bytes).hash.length > 0),
    sealedTarget('placements batch', samples.placementsBatch.bytes, (bytes) => verifyBatch(bytes).hash.length > 0),
  ];
}

// ---- a farmer -----------------------------------------------------------------------------------

const PEERS = [samples.keeper, samples.repairer, samples.ownerKey, samples.stranger, samples.app, samples.worker];

/** Bodies that calls carry, as they should be. */
function goodBodies(): Partial<Record<Operation, Uint8Array>> {
  return {
    'roots.put': frameAll(samples.roots.map(({ bytes }) => bytes)),
    'log.append': frameAll([samples.batch.bytes, samples.placementsBatch.bytes]),
    'log.seal': samples.sealOrder.bytes,
    'piece.put': Buffer.concat([
      samples.fill(7, 5000),
      callSamples.bodyCodecs.pieceFooter.encode(callSamples.bodies.pieceFooter),
      Buffer.of(0, 0, 0, 90),
    ]),
    'piece.stat': callSamples.bodyCodecs.pieceIds.encode(callSamples.bodies.pieceIds),
  };
}

async function farmerTarget(): Promise<{ target: Target; farmer: Farmer }> {
  const config = createFarmConfigStore(samples.control.publicKey);
  const { publicKey } = samples.farmer;
  const membership = Buffer.from(samples.membership.bytes).toString('base64');
  config.offer({
    farmUid: 'fuzz',
    farmName: 'fuzz/farm',
    controlKey: samples.control.publicKey,
    epoch: 1,
    generation: 1,
    redundancy: { required: 1, repair: 1, optimal: 1, total: 1 },
    roster: [
      {
        slot: 'farmer-0',
        farmer: publicKey,
        peerId: 'x',
        volumeUid: 'x',
        zone: 'main',
        domain: 'x',
        state: 'Active',
        url: 'memory://x',
        multiaddr: '/memory/x',
        membership,
      },
    ],
    bridges: [samples.keeper.publicKey],
    repairers: [{ repairer: samples.repairer.publicKey, box: samples.repairer.publicKey }],
    lostAfterMs: 60_000,
    repairBytesPerSecond: 0,
  });
  const farmer = await startFarmer({
    keyPair: samples.farmer,
    folder: '.',
    lock: { release() {} },
    network: memoryNet().network(publicKey),
    config,
    runtime: systemRuntime,
    disk: faultyDisk(),
    indexPath: ':memory:',
  });
  const operations = Object.keys(callSamples.callHeads) as Operation[];
  const bodies = goodBodies();
  const pool = decoders.map(({ valid }) => valid);
  const run = async (dice: Dice) => {
    const operation = dice.pick(operations);
    const good = encodeCallHead(operation, callSamples.callHeads[operation].call as Heads[typeof operation]['call']);
    const head = dice.chance(0.5) ? damaged(dice, good, pool) : good;
    const body = bodies[operation] ?? dice.pick(pool);
    const sent = dice.chance(0.8) ? damaged(dice, body, pool) : body;
    const chunks = async function* () {
      const cut = dice.between(0, sent.length);
      yield sent.subarray(0, cut);
      yield sent.subarray(cut);
    };
    try {
      const call = { operation, head, body: chunks() };
      const answer = await farmer.service.handle(dice.pick(PEERS).publicKey, call, new AbortController().signal);
      for await (const chunk of answer.body ?? []) if (chunk.length > 64 * 1024 * 1024) throw new Finding('A chunk of 64 MiB');
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
    const taken = farmer.store.index.logs.get(samples.ownerKey.publicKey, samples.log.publicKey);
    if (taken && taken.seq > 0 && taken.hash !== samples.batch.hash)
      throw new Finding('The farmer took a batch that nobody signed.');
  };
  return { target: { name: 'farmer', weight: 12, run }, farmer };
}

// ---- certificates -------------------------------------------------------------------------------

/** Of the sample farmer's key, made once: each making is another. */
const CERTIFICATE =
  'MIIBeDCCAR2gAwIBAgIIRIVwFDSClkcwCgYIKoZIzj0EAwIwADAgFw0yNjExMjgxNTQ0MDlaGA8yMTI2MTEwNDE2NDQwOVowADBZMBMGByqGSM' +
  '49AgEGCCqGSM49AwEHA0IABFbgR7T06ec4mT9I+aTnxQblcKe5rwsXw/ijLyUUZ+zsP8rJj+G/aVK0t/JBjXqaUDhYE4Sw3xfCfyNKoSkfQWmj' +
  'fzB9MHsGCisGAQQBg6JaAQEBAf8EajBoBCQIARIgWJNmBKvaESvJSTNWnIL40MwN35Kj+DKfL0SPf0hKWUwEQDCTVaOEt2uLbuVg0SFQ0uaEf9' +
  'HXHPKzF/KTfsz1FqVNLowHiqDInHwJhlbG5vY7Gq9Q087aVMAB6oyuAt/wlAwwCgYIKoZIzj0EAwIDSQAwRgIhALRxIRBxZmHGb8MKiLz8mu2K' +
  '2+eY8vSTvp5VmY5lWtZHAiEA/Kk8p3m9LFdfUo2lKhJ0ZyIyZg1NkP4BXMXghZOYaLU=';

async function certificateTarget(): Promise<Target> {
  const der = Buffer.from(CERTIFICATE, 'base64');
  const proven = await provePeer(der);
  if (proven !== samples.farmer.publicKey) throw new Finding('The example certificate proves somebody else.');
  return {
    name: 'certificate',
    weight: 0.2,
    async run(dice) {
      const bytes = damaged(dice, der, [der]);
      if (hex(bytes) === hex(der)) return;
      try {
        await provePeer(bytes);
      } catch (error) {
        if (error instanceof CallError && error.code === 'WrongPeer') return;
        throw error;
      }
      throw new Finding(`A changed certificate proves a key: ${hex(bytes)}`);
    },
  };
}

/** All of them. `stop` ends the farmer. */
export async function fuzzTargets(): Promise<{ targets: Target[]; stop: () => Promise<void> }> {
  const { target, farmer } = await farmerTarget();
  return {
    targets: [...decoderTargets(), ...signedTargets(), target, await certificateTarget()],
    stop: () => farmer.stop(AbortSignal.abort()),
  };
}
