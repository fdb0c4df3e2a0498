// The repairer's metrics. Gauges are read from the farm report when they are asked for.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { FarmReport } from '#node/interface/status.ts';
import type { RepairEvents } from './farm-repair.ts';

const FARMER_STATES = ['Online', 'Offline', 'Leaving', 'Lost'] as const;

/** Registers all; the returned events keep the counters. */
export function repairerMetrics(
  registry: Registry,
  report: () => FarmReport,
): Required<Pick<RepairEvents, 'scanned' | 'compared' | 'audited' | 'repaired' | 'repairFailed' | 'farmerFailed'>> {
  const registers = [registry];
  const gauge = (name: string, help: string, value: (report: FarmReport) => number) =>
    new Gauge({
      name: `storj_repairer_${name}`,
      help,
      registers,
      collect() {
        this.set(value(report()));
      },
    });
  gauge('segments', 'Live segments that this repairer looks after.', ({ segments }) => segments);
  gauge('segments_queued', 'Segments that wait for repair or for a move.', ({ segmentsQueued }) => segmentsQueued);
  gauge('segments_at_risk', 'Segments that one more loss makes unreadable.', ({ segmentsAtRisk }) => segmentsAtRisk);
  gauge('segments_unreadable', 'Segments with fewer pieces than reading takes.', ({ segmentsUnreadable }) => segmentsUnreadable);
  gauge('margin', 'Least number of farmers that may still go, over all segments and logs.', ({ margin }) => margin);
  gauge('pieces_to_move', 'Pieces on leaving or lost farmers that need another holder.', ({ farmers }) =>
    farmers.reduce((sum, { piecesToMove }) => sum + piecesToMove, 0),
  );
  gauge(
    'owners_without_warrant',
    'Owners whose logs this repairer may not read.',
    ({ ownersWithoutWarrant }) => ownersWithoutWarrant,
  );
  gauge(
    'read_through_timestamp_seconds',
    'Every log was read up to heads that were asked for after this time.',
    ({ readThroughMs }) => readThroughMs / 1000,
  );
  const farmers = new Gauge({
    name: 'storj_repairer_farmers',
    help: 'Farmers of the roster by state.',
    labelNames: ['state'],
    registers: [],
    collect() {
      const all = report().farmers;
      for (const state of FARMER_STATES) this.set({ state }, all.filter((one) => one.state === state).length);
    },
  });
  registry.registerMetric(farmers);
  const pieces = new Counter({
    name: 'storj_repairer_repaired_pieces_total',
    help: 'Pieces that got a new holder.',
    labelNames: ['how'],
    registers,
  });
  const bytes = new Counter({ name: 'storj_repairer_repaired_bytes_total', help: 'Bytes of those pieces.', registers });
  const repairs = new Counter({
    name: 'storj_repairer_repairs_total',
    help: 'Repairs of segments by result.',
    labelNames: ['result'],
    registers,
  });
  const duration = new Histogram({
    name: 'storj_repairer_repair_duration_seconds',
    help: 'Time of a repair that moved something.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers,
  });
  const scan = new Histogram({
    name: 'storj_repairer_scan_duration_seconds',
    help: 'Time of one round through all logs.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers,
  });
  const compared = new Counter({
    name: 'storj_repairer_compared_pieces_total',
    help: 'Pieces on which farmers and logs disagreed, by what was done about it.',
    labelNames: ['result'],
    registers,
  });
  const audits = new Counter({
    name: 'storj_repairer_audits_total',
    help: 'Audits by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  const score = new Gauge({
    name: 'storj_repairer_farmer_score',
    help: 'What audits say of a farmer, from 0 to 1, as in Storj V3. Its pieces count as lost from an audit score of 0.96 on.',
    labelNames: ['farmer', 'score'],
    registers: [],
    collect() {
      this.reset();
      for (const { farmer, audits: said } of report().farmers) {
        if (!said) continue;
        this.set({ farmer, score: 'audit' }, said.auditScore);
        this.set({ farmer, score: 'suspension' }, said.suspensionScore);
        this.set({ farmer, score: 'online' }, said.onlineScore);
      }
    },
  });
  registry.registerMetric(score);
  const unread = new Gauge({
    name: 'storj_repairer_owners_unread',
    help: 'Owners whose logs could not all be read in the last round.',
    registers,
  });
  const failures = new Counter({
    name: 'storj_repairer_farmer_failures_total',
    help: 'Farmers that failed during a repair, as the source or as the target of a piece.',
    labelNames: ['role'],
    registers,
  });
  return {
    scanned({ tookMs, failed }) {
      scan.observe(tookMs / 1000);
      unread.set(failed);
    },
    compared(_farmer, _owner, comparison) {
      for (const [result, count] of Object.entries(comparison)) compared.inc({ result }, count);
    },
    audited(_farmer, { outcome }) {
      audits.inc({ outcome });
    },
    repaired(_segmentId, outcome, tookMs) {
      if (outcome.pieces === 0) {
        repairs.inc({ result: 'blocked' });
        return;
      }
      repairs.inc({ result: 'done' });
      pieces.inc({ how: outcome.copied ? 'copied' : 'rebuilt' }, outcome.pieces);
      bytes.inc(outcome.bytes);
      duration.observe(tookMs / 1000);
    },
    repairFailed() {
      repairs.inc({ result: 'failed' });
    },
    farmerFailed(_farmer, as) {
      failures.inc({ role: as });
    },
  };
}
