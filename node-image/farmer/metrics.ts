// A farmer's metrics. Gauges are read when somebody asks; the rest counts calls as they end.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { CompactionSeen } from './compaction.ts';
import type { Farmer } from './farmer.ts';
import type { CallObserver } from './service.ts';
import type { StoreNumbers } from './store.ts';

/** From an answer out of the cache to a large piece over a slow line. */
const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60];

export interface FarmerMetrics {
  observe: CallObserver;
  observeCompaction: (seen: CompactionSeen) => void;
  /** The gauges tell of this farmer from now on. */
  watch(farmer: Farmer): void;
}

export function farmerMetrics(registry: Registry, nowMs: () => number): FarmerMetrics {
  const registers = [registry];
  const calls = new Counter({
    name: 'storj_farmer_calls_total',
    help: 'Calls that have ended, by operation and result (Ok or the refusal).',
    labelNames: ['operation', 'result'],
    registers,
  });
  const seconds = new Histogram({
    name: 'storj_farmer_call_duration_seconds',
    help: 'Time of a call, from its head to the last byte of its answer.',
    labelNames: ['operation'],
    buckets: SECONDS,
    registers,
  });
  const received = new Counter({
    name: 'storj_farmer_received_bytes_total',
    help: 'Bytes of bodies that came in.',
    labelNames: ['operation'],
    registers,
  });
  const sent = new Counter({
    name: 'storj_farmer_sent_bytes_total',
    help: 'Bytes of bodies that went out.',
    labelNames: ['operation'],
    registers,
  });
  const compacted = new Counter({
    name: 'storj_farmer_compacted_bytes_total',
    help: 'Bytes of segment files that were compacted: moved (still needed) and freed (for new records).',
    labelNames: ['type'],
    registers,
  });
  const purged = new Counter({
    name: 'storj_farmer_purged_pieces_total',
    help: 'Pieces whose time in the trash was over.',
    registers,
  });
  return {
    observeCompaction({ movedBytes, freedBytes, purgedPieces }) {
      compacted.inc({ type: 'moved' }, movedBytes);
      compacted.inc({ type: 'freed' }, Math.max(0, freedBytes));
      purged.inc(purgedPieces);
    },
    observe({ operation, code, startedMs, receivedBytes, sentBytes }) {
      calls.inc({ operation, result: code });
      seconds.observe({ operation }, Math.max(0, nowMs() - startedMs) / 1000);
      received.inc({ operation }, receivedBytes);
      sent.inc({ operation }, sentBytes);
    },
    watch: (farmer) => addGauges(registry, farmer),
  };
}

function addGauges(registry: Registry, farmer: Farmer): void {
  const registers = [registry];
  const space = new Gauge({
    name: 'storj_farmer_space_bytes',
    help: 'Space of the store: live, trash (pieces in the trash, and what nothing names any more) and free (for pieces).',
    labelNames: ['type'],
    registers,
    async collect() {
      const { liveBytes, trashBytes, freeBytes } = await farmer.store.numbers();
      space.set({ type: 'live' }, liveBytes);
      space.set({ type: 'trash' }, trashBytes);
      space.set({ type: 'free' }, freeBytes);
    },
  });
  const counted = (name: string, help: string, value: (numbers: StoreNumbers) => number) => {
    const gauge: Gauge = new Gauge({
      name: `storj_farmer_${name}`,
      help,
      registers,
      collect: async () => gauge.set(value(await farmer.store.numbers())),
    });
  };
  counted('pieces', 'Pieces that are held.', ({ pieces }) => pieces);
  counted('logs', 'Logs of which batches are held.', ({ logs }) => logs);
  const state = (name: string, help: string, value: () => number) => {
    const gauge: Gauge = new Gauge({ name: `storj_farmer_${name}`, help, registers, collect: () => gauge.set(value()) });
  };
  state('transfers_in_flight', 'Pieces and batches that are on their way in.', () => farmer.duty.transfersInFlight);
  state('cordoned', '1 while it takes no new pieces and replicas.', () => (farmer.duty.cordonedMs === null ? 0 : 1));
  state('disk_fit', '1 while the probe of the disk succeeds.', () => (farmer.duty.unfitReason === '' ? 1 : 0));
}
