// Whether memory stays flat whatever the object's size. Client: a put to farmers that keep nothing, a get of one
// segment named again and again. Bridge: a multipart upload by S3, and a get of an object that names the same part again
// and again. Each in a process of its own, its farmers in it too.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { nodeFlags } from '#node/interface/node-flags.ts';
import { residentMib } from './support/farmer-fleet.ts';
import { MIB, quantile, type Benchmark, type Report } from './support/measure.ts';
import type { Repeat } from './support/endless-bridge.ts';
import { s3Client, type S3 } from './support/s3-client.ts';

const CLIENT = fileURLToPath(new URL('support/endless-client.ts', import.meta.url));
const BRIDGE = fileURLToPath(new URL('support/endless-bridge.ts', import.meta.url));
const PART_BYTES = 1024 * MIB;
/** Fraction of the transfer behind which memory is compared: by then pools and heap are filled. */
const WARM = 0.1;

export const memory: Benchmark = {
  name: 'memory',
  about: 'Memory of client and bridge over one large object (--gib N)',
  async run(report, { folder, gib }) {
    await watched(report, `put of ${gib} GiB, client`, fork(CLIENT, ['put', String(gib)]));
    await watched(report, `get of ${gib} GiB, client`, fork(CLIENT, ['get', String(gib)]));
    await watched(report, `S3 upload of ${gib} GiB, bridge`, forkBridge(folder, 'upload'), (s3) => upload(s3, gib));
    await watched(report, `S3 get of ${gib} GiB, bridge`, forkBridge(folder, 'get', 'keep'), (s3, child) => get(s3, gib, child));
  },
};

function forkBridge(folder: string, name: string, ...more: string[]): ChildProcess {
  const own = join(folder, name);
  mkdirSync(own, { recursive: true });
  return fork(BRIDGE, [own, ...more], { execArgv: nodeFlags('bridge') });
}

/** Ends when the child does; `work` is what is asked of a bridge. */
async function watched(
  report: Report,
  name: string,
  child: ChildProcess,
  work?: (s3: S3, child: ChildProcess) => Promise<void>,
): Promise<void> {
  const samples: number[] = [];
  const timer = setInterval(() => samples.push(residentMib(child.pid)), 100);
  const ended = once(child, 'exit') as Promise<[number]>;
  if (work) {
    const [to] = (await once(child, 'message')) as [{ endpoint: string; region: string; accessKey: string; secretKey: string }];
    await work(s3Client({ ...to, connections: 2 }), child);
    child.disconnect();
  }
  const [code] = await ended;
  clearInterval(timer);
  if (code !== 0) throw new Error(`failed: ${name}`);
  const seen = samples.filter((mib) => mib > 0);
  const warm = seen.slice(Math.floor(WARM * seen.length));
  const early = warm.slice(0, warm.length / 2);
  const late = warm.slice(warm.length / 2);
  report.value({ figure: `${name}: peak of the first half`, unit: 'MiB', values: [Math.max(...early)] });
  report.value({ figure: `${name}: peak of the second half`, unit: 'MiB', values: [Math.max(...late)], target: 'the same' });
  report.value({ figure: `${name}: median of each half`, unit: 'MiB', values: [quantile(early, 0.5), quantile(late, 0.5)] });
}

async function upload(s3: S3, gib: number): Promise<void> {
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
}

/** The same GiB again and again, in one object. */
async function get(s3: S3, gib: number, child: ChildProcess): Promise<void> {
  await s3('PUT', '/bench');
  await s3('PUT', '/bench/part', { body: Readable.from(part()), sizeBytes: PART_BYTES });
  const repeated = once(child, 'message');
  child.send({ bucket: 'bench', from: 'part', to: 'large', times: gib } satisfies Repeat);
  await repeated;
  await s3('GET', '/bench/large');
}

function* part(): Generator<Buffer> {
  const chunk = Buffer.alloc(MIB, 7);
  for (let sent = 0; sent < PART_BYTES; sent += chunk.length) yield chunk;
}
