// What the bridge tells its operator and its metrics, from what it is doing now.
import { schemeForAnswering } from '#node/core/schemes.ts';
import type { Client } from '#node/client/client.ts';
import type { PublicKey } from '#node/wire/types.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import type { BridgeStatus } from '#node/interface/status.ts';
import type { Bridge } from './assembly.ts';
import type { BridgeFacts } from './metrics.ts';

function isWritable({ client }: Bridge): boolean {
  return schemeForAnswering(client.farm.current().scheme, answering(client)) !== null;
}

function answering({ farm, health }: Client): number {
  return farm.current().members.filter(({ farmer, state }) => state === 'Active' && health.answers(farmer)).length;
}

export function factsOf(bridge: Bridge | null): BridgeFacts {
  const rows = bridge === null ? [] : bridge.accounts.owners().flatMap((owner) => bridge.catalog.buckets(owner));
  const usages = rows.map(({ bucketId }) => bridge?.catalog.usage(bucketId) ?? { objects: 0, bytes: 0, uploadBytes: 0 });
  const sum = (of: (usage: (typeof usages)[number]) => number) => usages.reduce((total, usage) => total + of(usage), 0);
  return {
    owners: bridge?.desired.served().length ?? 0,
    buckets: rows.length,
    objects: sum(({ objects }) => objects),
    bytes: sum(({ bytes }) => bytes),
    uploadBytes: sum(({ uploadBytes }) => uploadBytes),
    farmersSlow: bridge?.client.health.snapshot().filter(({ isSlow }) => isSlow).length ?? 0,
    farmersAnswering: bridge === null ? 0 : answering(bridge.client),
    isWritable: bridge !== null && isWritable(bridge),
    openLogs: bridge?.writers.all().filter((writer) => writer.current() !== null).length ?? 0,
  };
}

/** `s3Port` is null until S3 is served. */
export function bridgeStatus(
  about: { bridge: PublicKey; version: string; startedMs: number; s3Port: number | null },
  config: FarmConfig | null,
  bridge: Bridge | null,
): BridgeStatus {
  const generation = bridge?.client.farm.current().generation ?? 0;
  const reason = bridge === null ? 'there is no configuration yet' : about.s3Port === null ? 'S3 is not served yet' : '';
  return {
    role: 'bridge',
    version: about.version,
    farmUid: config?.farmUid ?? '',
    epoch: config?.epoch ?? 0,
    generation,
    startedMs: about.startedMs,
    bridge: about.bridge,
    ready: reason === '',
    reason,
    bucketsGeneration: bridge?.desired.generation() ?? 0,
    oldestTransferGeneration: bridge?.farm.oldestTransferGeneration() ?? generation,
    owners: bridge?.accounts.owners() ?? [],
    buckets: bridge?.desired.status() ?? [],
    writable: bridge !== null && isWritable(bridge),
  };
}
