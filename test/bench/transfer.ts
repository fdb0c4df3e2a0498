// Whole objects of 64 MiB to and from six farmer processes, beside the wire and the disks alone.
import { getRange } from '#node/client/segment-reader.ts';
import { putSegments, type StoredSegment } from '#node/client/segment-writer.ts';
import type { Client } from '#node/client/client.ts';
import { CallError, type Network } from '#node/net/net.ts';
import { startFleet } from './support/farmer-fleet.ts';
import { countedRate, interleaved, MIB, type Benchmark } from './support/measure.ts';
import { startRawPeers } from './support/raw-peers.ts';

const FARMERS = 6;
/** As much as fits into one segment, so that the piece counts are plain. */
const OBJECT_BYTES = 1024 * 65_520;
const PIECE_BYTES = 16 * MIB;
const OBJECTS = 3;

export const transfer: Benchmark = {
  name: 'transfer',
  about: `Objects of 64 MiB, 4 of 6, ${FARMERS} farmer processes: put, get, get with two farmers gone`,
  async run(report, { rounds, folder, profileFolder }) {
    const fleet = await startFleet(folder, FARMERS, profileFolder);
    const raw = await startRawPeers(folder, FARMERS);
    const { owner } = fleet.access;
    const client = await fleet.client();
    const bytes = new Uint8Array(OBJECT_BYTES).fill(5);
    const put = () => putObject(client, owner, bytes);
    const kept = (await put()).segments;
    const gone = kept[0]!.placement.farmers.slice(0, 2);
    const degraded = await fleet.client({}, (network) => without(network, gone));
    const get = (from: Client) => getObject(from, owner, kept);
    const cpu = { put: [], send: [], append: [], get: [], receive: [], degraded: [] } satisfies Record<string, number[]>;
    const side = (name: keyof typeof cpu, peers: { cpuSeconds(): number }, work: () => Promise<unknown>) =>
      countedRate(
        (OBJECTS * OBJECT_BYTES) / MIB,
        cpu[name],
        () => repeated(OBJECTS, work),
        () => peers.cpuSeconds(),
      );
    const seen = await interleaved(rounds, {
      put: side('put', fleet, put),
      send: side('send', raw, () => raw.send(6, PIECE_BYTES)),
      append: side('append', raw, () => raw.append(6, { writes: 1, bytes: PIECE_BYTES, perSync: 1 })),
      get: side('get', fleet, () => get(client)),
      receive: side('receive', raw, () => raw.receive(4, PIECE_BYTES)),
      degraded: side('degraded', fleet, () => get(degraded)),
    });
    const slower = seen.send.map((send, i) => Math.min(send, seen.append[i]!));
    const unit = 'MiB/s';
    report.ratio({ figure: 'put', unit, values: seen.put, bound: slower, boundName: 'lower of wire and disks', target: 0.45 });
    report.ratio({ figure: '(wire alone, 6 pieces)', unit, values: seen.put, bound: seen.send, boundName: 'HTTPS' });
    report.ratio({
      figure: '(disks alone, 6 pieces)',
      unit,
      values: seen.put,
      bound: seen.append,
      boundName: 'append + fdatasync',
    });
    report.ratio({ figure: 'get', unit, values: seen.get, bound: seen.receive, boundName: 'HTTPS, 4 pieces', target: 0.45 });
    report.ratio({ figure: 'get, 2 of 6 gone', unit, values: seen.degraded, bound: seen.get, boundName: 'get', target: 0.9 });
    const byCpu = (figure: string, of: number[], bound: number[], boundName: string) =>
      report.ratio({ figure, unit: 'MiB/CPU s', values: of.slice(1), bound: bound.slice(1), boundName });
    byCpu('put by CPU time', cpu.put, cpu.send, 'HTTPS');
    byCpu('get by CPU time', cpu.get, cpu.receive, 'HTTPS');
    byCpu('get, 2 of 6 gone, by CPU time', cpu.degraded, cpu.get, 'get');
    report.value({ figure: "farmers' peak memory", unit: 'MiB', values: fleet.peakMib(), target: '< 220 MiB' });
    await raw.stop();
    await fleet.stop();
  },
};

async function repeated(times: number, work: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < times; i++) await work();
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += MIB) yield bytes.subarray(at, at + MIB);
}

export async function putObject(client: Client, owner: string, bytes: Uint8Array) {
  const signal = AbortSignal.timeout(120_000);
  return await putSegments(client, { owner, source: chunksOf(bytes), sizeBytes: bytes.length, signal });
}

export async function getObject(client: Client, owner: string, segments: readonly StoredSegment[]): Promise<void> {
  const length = segments.reduce((sum, { key }) => sum + key.plainBytes, 0);
  let got = 0;
  const signal = AbortSignal.timeout(120_000);
  for await (const chunk of getRange(client, { owner, segments, offset: 0, length, signal })) got += chunk.length;
  if (got !== length) throw new Error(`${got} of ${length} bytes came`);
}

/** These farmers answer nothing. */
function without(network: Network, gone: readonly (string | null)[]): Network {
  return {
    ...network,
    call: (to, call, signal) =>
      gone.includes(to.farmer) ? Promise.reject(new CallError('Unreachable', 'gone')) : network.call(to, call, signal),
  };
}
