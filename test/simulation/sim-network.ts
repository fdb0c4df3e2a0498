// The network between the processes of a world: every call takes its time on the way there and back, may be lost
// either way, meets partitions, and may come a second time much later.
import { asCallError, transportError } from '#node/net/http-errors.ts';
import { memoryNet } from '#node/net/memory-network.ts';
import { CallError, type Answer, type Call, type FarmerAddress, type Network, type Service } from '#node/net/net.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { never, type Dice, type Process, type VirtualTime } from './virtual-time.ts';

/** How bad the network is, from 0 to 1 each. */
export interface Weather {
  lost: number;
  slow: number;
  replayed: number;
}

interface Caller {
  process: Process;
  self: PublicKey;
  inner: Network;
}

export class SimNetwork {
  readonly #time: VirtualTime;
  readonly #dice: Dice;
  readonly #net = memoryNet();
  readonly #services = new Map<PublicKey, Service>();
  readonly #cuts = new Set<string>();
  readonly #note: (line: string) => void;
  readonly #nameOf: (peer: PublicKey) => string;
  weather: Weather = { lost: 0, slow: 0, replayed: 0 };
  /** Names of processes far away: what goes to them or comes from them takes its time. */
  readonly far = new Set<string>();
  inFlight = 0;
  /** The most calls that were under way at once. */
  mostInFlight = 0;

  constructor(input: { time: VirtualTime; dice: Dice; note: (line: string) => void; nameOf: (peer: PublicKey) => string }) {
    this.#time = input.time;
    this.#dice = input.dice;
    this.#note = input.note;
    this.#nameOf = input.nameOf;
  }

  attach(peer: PublicKey, service: Service): void {
    this.#services.set(peer, service);
    this.#net.attach(peer, service);
  }
  detach(peer: PublicKey): void {
    this.#services.delete(peer);
    this.#net.detach(peer);
  }

  /** Between processes, by name; both ways. */
  cut(a: string, b: string): void {
    this.#cuts.add(`${a}|${b}`).add(`${b}|${a}`);
  }
  heal(): void {
    this.#cuts.clear();
  }

  /** The asking side of one process. */
  of(process: Process, self: PublicKey): Network {
    const inner = this.#net.network(self);
    process.onKill(() => void inner.close());
    return {
      self,
      call: (to, call, signal) => process.guard(this.#call({ process, self, inner }, to, call, signal)),
      close: () => inner.close(),
    };
  }

  async #call(by: Caller, to: FarmerAddress, call: Call, signal: AbortSignal): Promise<Answer> {
    const { process: from, inner } = by;
    const name = this.#nameOf(to.farmer);
    const line = `${from.name} → ${name} ${call.operation}`;
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    try {
      const dice = this.#dice;
      const isLost = dice.chance(this.weather.lost);
      const losesAnswer = dice.chance(this.weather.lost);
      const sent = dice.chance(this.weather.replayed) ? await this.#recorded(by.self, to.farmer, call, line) : call;
      const isFar = this.far.has(name) || this.far.has(from.name);
      await this.#travel(signal, isFar);
      if (isLost || this.#cuts.has(`${from.name}|${name}`)) return await this.#silence(`${line}: lost`, signal);
      const answer = await inner.call(to, sent, signal).catch((error: unknown) => asCallError(error));
      const outcome = answer instanceof CallError ? answer.code : 'ok';
      await this.#travel(signal, isFar);
      if (losesAnswer || this.#cuts.has(`${name}|${from.name}`)) {
        if (!(answer instanceof CallError)) void answer.body?.[Symbol.asyncIterator]().return?.();
        return await this.#silence(`${line}: ${outcome}, and the answer lost`, signal);
      }
      this.#note(`${line}: ${outcome}`);
      if (answer instanceof CallError) throw answer;
      return answer.body ? { ...answer, body: endingWith(signal, guarded(from, answer.body)) } : answer;
    } catch (error) {
      throw transportError(error, signal, to.url);
    } finally {
      this.inFlight -= 1;
    }
  }

  /** The same bytes come again after a while, from the same peer. */
  async #recorded(self: PublicKey, peer: PublicKey, call: Call, line: string): Promise<Call> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of call.body ?? []) chunks.push(Uint8Array.from(chunk));
    const again = (): Call => ({ ...call, body: each(chunks) });
    this.#time.after(this.#dice.between(100, 90_000), () => {
      const service = this.#services.get(peer);
      if (!service) return;
      this.#note(`${line}: comes a second time`);
      service
        .handle(self, again(), new AbortController().signal)
        .then((answer) => answer.body?.[Symbol.asyncIterator]().return?.())
        .catch(() => {});
    });
    return again();
  }

  async #travel(signal: AbortSignal, isFar: boolean): Promise<void> {
    const dice = this.#dice;
    const near = () => (dice.chance(this.weather.slow) ? dice.between(200, 8000) : dice.between(1, 12));
    const ms = isFar ? dice.between(100, 1500) : near();
    await new Promise<void>((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const stop = () => {
        cancel();
        reject(signal.reason as Error);
      };
      const cancel = this.#time.after(ms, () => {
        signal.removeEventListener('abort', stop);
        resolve();
      });
      signal.addEventListener('abort', stop, { once: true });
    });
  }

  /** A connection that is refused, or one that nobody answers. */
  async #silence(line: string, signal: AbortSignal): Promise<never> {
    this.#note(line);
    if (this.#dice.chance(0.5)) throw new CallError('Unreachable', 'The connection broke.');
    return await new Promise<never>((_, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  }
}

async function* each(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

/** Whoever waits for a body hears of the end of his patience, though the other side has fallen silent. */
async function* endingWith(signal: AbortSignal, body: AsyncIterableIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  const stop = () => over.reject(signal.reason as Error);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    for (;;) {
      const { done, value } = await Promise.race([body.next(), over.promise]);
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    void body.return?.();
  }
}

/** A body that a process gives or takes: it stops with the process. */
export function guarded(process: Process, body: AsyncIterable<Uint8Array>): AsyncIterableIterator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => (process.isAlive ? process.guard(iterator.next()) : never()),
    async return() {
      if (!process.isAlive) return await never();
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}
