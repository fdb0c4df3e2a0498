// The bridge's metrics. Gauges are read when they are asked for.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { RequestRecord } from './s3/server.ts';

export interface BridgeFacts {
  owners: number;
  buckets: number;
  objects: number;
  bytes: number;
  uploadBytes: number;
  farmersAnswering: number;
  farmersSlow: number;
  isWritable: boolean;
  openLogs: number;
}

export interface BridgeMetrics {
  started(): void;
  done(record: RequestRecord): void;
  batch(entries: number, tookMs: number): void;
  trouble(): void;
  /** A segment of so many bytes was brought to the farm's scheme. */
  rewritten(bytes: number): void;
}

export function bridgeMetrics(registry: Registry, facts: () => BridgeFacts): BridgeMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, value: (facts: BridgeFacts) => number) =>
    new Gauge({
      name: `storj_bridge_${name}`,
      help,
      registers,
      collect() {
        this.set(value(facts()));
      },
    });
  gauge('owners', 'Accounts that this bridge serves.', ({ owners }) => owners);
  gauge('buckets', 'Buckets that this bridge serves.', ({ buckets }) => buckets);
  gauge('objects', 'Objects in all buckets.', ({ objects }) => objects);
  gauge('stored_bytes', 'Bytes of the objects in all buckets, as renters see them.', ({ bytes }) => bytes);
  gauge('upload_bytes', 'Bytes of parts of open multipart uploads.', ({ uploadBytes }) => uploadBytes);
  gauge('farmers_answering', 'Farmers that answer, as far as this bridge knows.', ({ farmersAnswering }) => farmersAnswering);
  gauge('farmers_slow', 'Farmers that are much slower than most and avoided for that.', ({ farmersSlow }) => farmersSlow);
  gauge('writable', '1 if a write would be acknowledged now.', ({ isWritable }) => (isWritable ? 1 : 0));
  gauge('open_logs', 'Logs that this bridge writes.', ({ openLogs }) => openLogs);
  const requests = new Counter({
    name: 'storj_bridge_requests_total',
    help: 'S3 requests by operation and error code (empty: no error).',
    labelNames: ['operation', 'code'] as const,
    registers,
  });
  const duration = new Histogram({
    name: 'storj_bridge_request_duration_seconds',
    help: 'Time from the head of a request to the end of its answer.',
    labelNames: ['operation'] as const,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
    registers,
  });
  const inFlight = new Gauge({ name: 'storj_bridge_requests_in_flight', help: 'S3 requests that are being served.', registers });
  const received = new Counter({
    name: 'storj_bridge_received_bytes_total',
    help: 'Bytes of request bodies, as announced.',
    registers,
  });
  const sent = new Counter({ name: 'storj_bridge_sent_bytes_total', help: 'Bytes of answers.', registers });
  const batches = new Counter({ name: 'storj_bridge_log_batches_total', help: 'Log batches that were acknowledged.', registers });
  const entries = new Counter({
    name: 'storj_bridge_log_entries_total',
    help: 'Entries in acknowledged log batches.',
    registers,
  });
  const applying = new Histogram({
    name: 'storj_bridge_catalog_apply_duration_seconds',
    help: 'Time from the acknowledgement of a batch until it is visible.',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2],
    registers,
  });
  const troubles = new Counter({
    name: 'storj_bridge_troubles_total',
    help: 'Times that something beside a request failed and was tried again.',
    registers,
  });
  const rewritten = new Counter({
    name: 'storj_bridge_rewritten_segments_total',
    help: "Segments that were brought to the farm's scheme.",
    registers,
  });
  const rewrittenBytes = new Counter({
    name: 'storj_bridge_rewritten_bytes_total',
    help: "Bytes of the segments that were brought to the farm's scheme.",
    registers,
  });
  return {
    started: () => inFlight.inc(),
    done({ operation, code, durationMs, receivedBytes, sentBytes }) {
      inFlight.dec();
      requests.inc({ operation, code });
      duration.observe({ operation }, durationMs / 1000);
      received.inc(receivedBytes);
      sent.inc(sentBytes);
    },
    batch(count, tookMs) {
      batches.inc();
      entries.inc(count);
      applying.observe(tookMs / 1000);
    },
    trouble: () => troubles.inc(),
    rewritten(bytes) {
      rewritten.inc();
      rewrittenBytes.inc(bytes);
    },
  };
}
