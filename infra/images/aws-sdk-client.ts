// An S3 client on the AWS SDK for JavaScript v3, to be run in a pod; everything it knows of the bucket
// comes from the environment that a StorjBucket's Secret gives. One line of JSON on standard output.
//   sleep                 waits, for `kubectl exec`
//   put KEY MIB SEED      a file of MIB MiB made from SEED: {sha256, bytes, seconds}
//   get KEY               {sha256, bytes, seconds}
//   list [PREFIX]         {keys}
//   delete KEY            {}
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { DeleteObjectCommand, GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';

const MIB = 1 << 20;
const [command = '', key = '', mib = '0', seed = '0'] = process.argv.slice(2);
const Bucket = process.env['BUCKET_NAME'] ?? '';
const client = new S3Client({});
const hash = createHash('sha256');
const began = performance.now();
let bytes = 0;

const commands: Record<string, () => Promise<object>> = {
  sleep: () => new Promise(() => setInterval(() => {}, 60_000)),
  put: async () => {
    await new Upload({
      client,
      params: { Bucket, Key: key, Body: Readable.from(dice(Number(mib), seed)) },
      partSize: 16 * MIB,
    }).done();
    return transfer();
  },
  get: async () => {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: key }));
    for await (const chunk of Body as Readable) count(chunk as Uint8Array);
    return transfer();
  },
  list: async () => {
    const keys: string[] = [];
    let token: string | undefined;
    do {
      const page = await client.send(new ListObjectsV2Command({ Bucket, Prefix: key, ContinuationToken: token }));
      keys.push(...(page.Contents ?? []).map((entry) => entry.Key ?? ''));
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return { keys };
  },
  delete: async () => {
    await client.send(new DeleteObjectCommand({ Bucket, Key: key }));
    return {};
  },
};

function count(chunk: Uint8Array): void {
  hash.update(chunk);
  bytes += chunk.length;
}

function transfer(): object {
  return { sha256: hash.digest('hex'), bytes, seconds: (performance.now() - began) / 1000 };
}

/** Blocks that no compressor shortens: a hash chain, spread. */
function* dice(blocks: number, from: string): Generator<Buffer> {
  let state = createHash('sha512').update(from).digest();
  for (let block = 0; block < blocks; block += 1) {
    const chunk = Buffer.alloc(MIB);
    for (let offset = 0; offset < MIB; offset += state.length) {
      state = createHash('sha512').update(state).digest();
      chunk.set(state, offset);
    }
    count(chunk);
    yield chunk;
  }
}

const run = commands[command];
if (run === undefined) {
  console.error(`no such command: "${command}"; there are ${Object.keys(commands).join(', ')}`);
  process.exitCode = 64;
} else {
  process.on('SIGTERM', () => process.exit(0));
  console.log(JSON.stringify(await run()));
}
