// A client that puts or gets one object of so many GiB; its farmers live in this process too and keep one
// segment at most: `node endless-client.ts put|get GIB`.
import { createClient } from '#node/client/client.ts';
import { farmSnapshot } from '#node/client/farm-snapshot.ts';
import { settableFarmView } from '#node/client/farm-view.ts';
import { getRange } from '#node/client/segment-reader.ts';
import { putSegments } from '#node/client/segment-writer.ts';
import { memoryFarm } from '#test/support/memory-farmer.ts';
import { discarding } from './discarding.ts';

const GIB = 1024 ** 3;
const SEGMENT_BYTES = 1024 * 65_520;
const [kind, gib] = [process.argv[2], Number(process.argv[3])];
const owner = 'ab'.repeat(32);
const signal = AbortSignal.timeout(3_600_000);
const chunk = new Uint8Array(1024 * 1024).fill(9);

async function* source(bytes: number): AsyncGenerator<Uint8Array> {
  for (let left = bytes; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
}

const farm = await memoryFarm({ farmers: 6 });
const network = farm.networkOf(farm.bridge);
const client = createClient({
  network: kind === 'put' ? discarding(farm, network) : network,
  farm: settableFarmView(farmSnapshot(farm.current())),
});
if (kind === 'put') await putSegments(client, { owner, source: source(gib * GIB), signal });
else {
  const { segments } = await putSegments(client, { owner, source: source(SEGMENT_BYTES), signal });
  const all = Array.from({ length: Math.ceil((gib * GIB) / SEGMENT_BYTES) }, () => segments[0]!);
  const length = all.length * SEGMENT_BYTES;
  for await (const _ of getRange(client, { owner, segments: all, offset: 0, length, signal }));
}
await client.close();
await farm.stop();
