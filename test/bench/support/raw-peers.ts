// What wire and disks of this machine give when nothing is computed: HTTPS to as many processes as there are
// farmers, and as many processes that append and sync.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildConnector, Pool } from 'undici';
import { TLS_OPTIONS } from '#node/net/tls-identity.ts';
import { cpuSecondsOf, MIB } from './measure.ts';

const SCRIPT = fileURLToPath(new URL('raw-peer.ts', import.meta.url));
const BODY = Buffer.alloc(64 * MIB, 7);

export interface RawPeers {
  /** So many bytes to each of the first `peers`. */
  send(peers: number, bytes: number): Promise<void>;
  /** So many bytes from each. */
  receive(peers: number, bytes: number): Promise<void>;
  /** Sent to all, written and synced by each; resolves when `needed` have answered. */
  sendDurably(peers: number, bytes: number, needed: number): Promise<void>;
  /** Each process appends `bytes` so often, an fdatasync behind every `perSync`. */
  append(peers: number, order: { writes: number; bytes: number; perSync: number }): Promise<void>;
  /** CPU seconds of all peers so far; Linux only. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

export async function startRawPeers(folder: string, count: number): Promise<RawPeers> {
  const children = Array.from({ length: count }, (_, i) => fork(SCRIPT, [join(folder, `raw-${i}`)]));
  const ports = await Promise.all(children.map(async (child) => ((await once(child, 'message')) as [{ port: number }])[0].port));
  const connect = buildConnector({ ...TLS_OPTIONS, maxCachedSessions: 0 });
  const pools = ports.map((port) => new Pool(`https://127.0.0.1:${port}`, { connections: 16, pipelining: 1, connect }));
  const post = async (peer: number, path: string, bytes: number) => {
    const { body } = await pools[peer]!.request({ method: 'POST', path, body: BODY.subarray(0, bytes) });
    for await (const _ of body);
  };
  const all = (peers: number, work: (peer: number) => Promise<void>) =>
    Promise.all(Array.from({ length: peers }, (_, peer) => work(peer)));
  return {
    send: async (peers, bytes) => void (await all(peers, (peer) => post(peer, '/discard', bytes))),
    receive: async (peers, bytes) => void (await all(peers, (peer) => post(peer, `/send/${bytes}`, 0))),
    sendDurably: (peers, bytes, needed) =>
      new Promise((resolve, reject) => {
        let answers = 0;
        all(peers, async (peer) => {
          await post(peer, '/append', bytes);
          answers += 1;
          if (answers === needed) resolve();
        }).catch(reject);
      }),
    append: async (peers, order) => void (await all(peers, (peer) => answered(children[peer]!, order))),
    cpuSeconds: () => children.reduce((sum, { pid }) => sum + cpuSecondsOf(pid), 0),
    async stop() {
      await Promise.all(pools.map((pool) => pool.destroy()));
      await Promise.all(
        children.map((child) => {
          const ended = once(child, 'exit');
          child.disconnect();
          return ended;
        }),
      );
    },
  };
}

async function answered(child: ChildProcess, order: object): Promise<void> {
  const answer = once(child, 'message');
  child.send(order);
  await answer;
}
