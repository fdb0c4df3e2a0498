// A farmer with very many pieces: how long its process takes to start on them, what it costs to add one more,
// and what memory it takes under load. The index is made with SQL; the pieces themselves aren't there.
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreIndex } from '#node/farmer/store-index.ts';
import { Store } from '#node/farmer/store.ts';
import { segmentName } from '#node/farmer/segment-file.ts';
import { startFleet } from './support/farmer-fleet.ts';
import { interleaved, MIB, quantile, type Benchmark } from './support/measure.ts';
import { getObject, putObject } from './transfer.ts';

const PIECES = Number(process.env['BENCH_PIECES'] ?? 1_000_000);
const PIECES_PER_FILE = 4000;
const OWNER = 'aa'.repeat(32);
const OBJECT_BYTES = 32 * MIB;
const OBJECTS = 24;
const IN_FLIGHT = 6;

export const manyPieces: Benchmark = {
  name: 'many-pieces',
  about: `A farmer process with ${PIECES.toLocaleString('en')} pieces beside an empty one: start, memory, a piece more`,
  async run(report, { rounds, folder }) {
    const data = join(folder, 'farmer-0');
    makeStore(data, PIECES);
    const added = addPieces(join(data, 'index.sqlite'));
    report.value({ figure: 'one more in the index, 16 in a step: p50', unit: 'µs', values: [quantile(added, 0.5)] });
    report.value({ figure: 'p99', unit: 'µs', values: [quantile(added, 0.99)] });
    const opens: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const startMs = performance.now();
      const store = await Store.open({ folder: data, nowMs: Date.now, randomLife: () => randomBytes(8).readBigUInt64LE() });
      opens.push(performance.now() - startMs);
      await store.close();
    }
    report.value({ figure: 'store opened', unit: 'ms', values: opens, target: '< 1,000 ms' });
    const started: { stop(): Promise<void> }[] = [];
    const timed = async (where: string) => {
      await Promise.all(started.splice(0).map((fleet) => fleet.stop()));
      const startMs = performance.now();
      started.push(await startFleet(where, 1));
      return performance.now() - startMs;
    };
    let turn = 0;
    const seen = await interleaved(rounds, { empty: () => timed(join(folder, `empty-${turn++}`)), full: () => timed(folder) });
    await Promise.all(started.map((fleet) => fleet.stop()));
    report.value({ figure: 'an empty farmer serves', unit: 'ms', values: seen.empty });
    report.value({ figure: 'a full one serves', unit: 'ms', values: seen.full, target: 'not a second more' });

    const fleet = await startFleet(folder, 1);
    const client = await fleet.client();
    const bytes = new Uint8Array(OBJECT_BYTES).fill(7);
    const work = Array.from({ length: IN_FLIGHT }, async () => {
      for (let i = 0; i < OBJECTS / IN_FLIGHT; i++) {
        const { segments } = await putObject(client, fleet.access.owner, bytes);
        await getObject(client, fleet.access.owner, segments);
      }
    });
    await Promise.all(work);
    report.value({ figure: 'peak memory under load', unit: 'MiB', values: fleet.peakMib(), target: '< 220 MiB' });
    await fleet.stop();
  },
};

function makeStore(data: string, pieces: number): void {
  const path = join(data, 'index.sqlite');
  mkdirSync(join(data, 'segments'), { recursive: true });
  StoreIndex.open(path).close();
  const db = new DatabaseSync(path);
  db.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000; BEGIN');
  db.prepare('INSERT INTO owners (owner, pieces, bytes) VALUES (?, ?, ?)').run(
    Buffer.from(OWNER, 'hex'),
    pieces,
    pieces * 65_536,
  );
  db.exec(`WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < ${pieces - 1})
    INSERT INTO pieces SELECT 1, randomblob(32), randomblob(32), 1 + i / ${PIECES_PER_FILE}, 32 + (i % ${PIECES_PER_FILE}) * 66000,
      65536, 300, 1700000000000 + i, NULL, 1 + i FROM numbers`);
  const segment = db.prepare("INSERT INTO segments VALUES (?, randomblob(8), ?, 'sealed')");
  const held = db.prepare('INSERT INTO held VALUES (?, ?)');
  for (let i = 1; i <= Math.ceil(pieces / PIECES_PER_FILE); i++) {
    segment.run(i, 66_000 * PIECES_PER_FILE);
    held.run(i, 66_000 * PIECES_PER_FILE);
    writeFileSync(join(data, 'segments', segmentName(i)), '');
  }
  db.exec(`UPDATE totals SET pieces = ${pieces}, live_bytes = ${pieces} * 66000, stamp = ${pieces}; COMMIT`);
  db.close();
}

/** Mean time of one in each of some hundred transactions. */
function addPieces(path: string): number[] {
  const index = StoreIndex.open(path);
  const hex = () => randomBytes(32).toString('hex');
  const times = Array.from({ length: 300 }, (_, turn) => {
    const startMs = performance.now();
    index.transaction(() => {
      for (let i = 0; i < 16; i++) {
        const piece = { owner: OWNER, pieceId: hex(), pieceRoot: hex(), segmentRoot: hex(), index: 0, total: 1, path: [] };
        const ref = { segment: 1, offset: 1e9 + 66_000 * (16 * turn + i), bodyBytes: 65_536, metaBytes: 300 };
        const meta = new Uint8Array(0);
        index.apply({ kind: 'piece', ref, stamp: 1e9 + 16 * turn + i, meta, about: { ...piece, leafHashes: meta, storedMs: 1 } });
      }
    });
    return (1000 * (performance.now() - startMs)) / 16;
  });
  index.close();
  return times;
}
