// A lost piece rebuilt: four pieces read, checked and computed, one sent to a farmer that has none, beside
// reading the same segment.
import { addressOf } from '#node/client/farm-view.ts';
import { Benches, pieceMath } from '#node/repairer/piece-math.ts';
import { segmentLink } from '#node/repairer/piece-link.ts';
import { rebuildPieces } from '#node/repairer/rebuild-pieces.ts';
import type { StoredSegment } from '#node/client/segment-writer.ts';
import type { Client } from '#node/client/client.ts';
import { pieceBytes } from '#node/core/segments.ts';
import { startFleet } from './support/farmer-fleet.ts';
import { countedRate, interleaved, MIB, type Benchmark } from './support/measure.ts';
import { getObject, putObject } from './transfer.ts';

/** One more than a segment has pieces: it takes the rebuilt one. */
const FARMERS = 7;
const OBJECT_BYTES = 1024 * 65_520;

export const repair: Benchmark = {
  name: 'repair',
  about: `Segments of 64 MiB, 4 of 6: one piece rebuilt to the spare of ${FARMERS} farmers`,
  async run(report, { rounds, folder }) {
    const fleet = await startFleet(folder, FARMERS);
    const client = await fleet.client();
    const { owner } = fleet.access;
    const bytes = new Uint8Array(OBJECT_BYTES).fill(3);
    const fresh: StoredSegment[] = [];
    for (let i = 0; i <= rounds; i++) fresh.push(...(await putObject(client, owner, bytes)).segments);
    const segments = fresh.slice();
    let turn = 0;
    const cpu = { repair: [] as number[], get: [] as number[] };
    const side = (perCpuSecond: number[], work: () => Promise<unknown>) =>
      countedRate(OBJECT_BYTES / MIB, perCpuSecond, work, () => fleet.cpuSeconds());
    const seen = await interleaved(rounds, {
      repair: side(cpu.repair, () => rebuildOne(client, owner, fresh.pop()!)),
      get: side(cpu.get, () => getObject(client, owner, [segments[turn++ % segments.length]!])),
    });
    report.ratio({ figure: 'repair', unit: 'MiB/s', values: seen.repair, bound: seen.get, boundName: 'get', target: 0.6 });
    report.ratio({
      figure: 'repair by CPU time',
      unit: 'MiB/CPU s',
      values: cpu.repair.slice(1),
      bound: cpu.get.slice(1),
      boundName: 'get',
    });
    await fleet.stop();
  },
};

async function rebuildOne(client: Client, owner: string, { placement }: StoredSegment): Promise<void> {
  const { scheme, sizeBytes } = placement;
  const farm = client.farm.current();
  const spare = farm.members.find(({ farmer }) => !placement.farmers.includes(farmer))!.farmer;
  const segment = {
    ...placement,
    id: 1,
    owner,
    pieceBytes: pieceBytes(sizeBytes, scheme.required),
    holders: placement.farmers.map((farmer) => (farmer === null ? [] : [farmer])),
    attempts: 0,
    isInSeveralBuckets: false,
  };
  const sources = placement.farmers.flatMap((farmer, pieceNumber) =>
    farmer === null || pieceNumber === 0 ? [] : [{ pieceNumber, farmer, answers: true }],
  );
  const stored = await rebuildPieces({
    scheme,
    tasks: [{ pieceNumber: 0, to: spare }],
    sources,
    link: segmentLink(client.network, (farmer) => addressOf(farm, farmer), segment),
    math: pieceMath(benches, segment),
    spend: async () => {},
    runtime: client.runtime,
    stallMs: 30_000,
    lateMs: 1000,
    signal: AbortSignal.timeout(120_000),
    onSourceFailed: (_, error) => console.error(error),
    onTargetFailed: (_, error) => console.error(error),
  });
  if (stored.length !== 1) throw new Error('the piece was not rebuilt');
}
const benches = new Benches();
