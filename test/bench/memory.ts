// Whether memory stays flat whatever the object's size. Client: a put to farmers that keep nothing, a get of one
// segment named again and again. Bridge: a multipart upload by S3. Each in a process of its own, its farmers in it too.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { residentMib } from './support/farmer-fleet.ts';
import { MIB, quantile, type Benchmark } from './support/measure.ts';
import { s3Client } from './support/s3-client.ts';

const CLIENT = fileURLToPath(new URL('support/endless-client.ts', import.meta.url));
const BRIDGE = fileURLToPath(new URL('support/endless-bridge.ts', import.meta.url));
const PART_BYTES = 1024 * MIB;
/** Fraction of the transfer behind which memory is compared: by then pools and heap are filled. */
const WARM = 0.1;

export const memory: Benchmark = {
  name: 'memory',
  about: 'Memory of client and bridge over one large object (--gib N)',
  async run(report, { folder, gib }) {
    for (const kind of ['put', 'get', 'bridge'] as const) {
      const child = kind === 'bridge' ? fork(BRIDGE, [folder]) : fork(CLIENT, [kind, String(gib)]);
      const samples: number[] = [];
      const timer = setInterval(() => samples.push(residentMib(child.pid)), 100);
      if (kind === 'bridge') await upload(child, gib);
      const [code] = (await once(child, 'exit')) as [number];
      clearInterval(timer);
      if (code !== 0) throw new Error(`the ${kind} failed`);
      const seen = samples.filter((mib) => mib > 0);
      const warm = seen.slice(Math.floor(WARM * seen.length));
      const early = warm.slice(0, warm.length / 2);
      const late = warm.slice(warm.length / 2);
      const name = kind === 'bridge' ? `S3 upload of ${gib} GiB, bridge` : `${kind} of ${gib} GiB, client`;
      report.value({ figure: `${name}: peak of the first half`, unit: 'MiB', values: [Math.max(...early)] });
      report.value({ figure: `${name}: peak of the second half`, unit: 'MiB', values: [Math.max(...late)], target: 'the same' });
      report.value({ figure: `${name}: median of each half`, unit: 'MiB', values: [quantile(early, 0.5), quantile(late, 0.5)] });
    }
  },
};

async function upload(child: ChildProcess, gib: number): Promise<void> {
  const [to] = (await once(child, 'message')) as [{ endpoint: string; region: string; accessKey: string; secretKey: string }];
  const s3 = s3Client({ ...to, connections: 2 });
  await s3('PUT', '/bench');
  const begun = await s3('POST', '/bench/large', { query: [['uploads', '']] });
  const uploadId = /<UploadId>([^<]+)/.exec(begun.text)![1]!;
  let parts = '';
  for (let number = 1; number <= gib; number++) {
    const query: [string, string][] = [
      ['partNumber', String(number)],
      ['uploadId', uploadId],
    ];
    const { etag } = await s3('PUT', '/bench/large', { query, body: Readable.from(part()), sizeBytes: PART_BYTES });
    parts += `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`;
  }
  const body = Buffer.from(`<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`);
  await s3('POST', '/bench/large', { query: [['uploadId', uploadId]], body });
  child.disconnect();
}

function* part(): Generator<Buffer> {
  const chunk = Buffer.alloc(MIB, 7);
  for (let sent = 0; sent < PART_BYTES; sent += chunk.length) yield chunk;
}
