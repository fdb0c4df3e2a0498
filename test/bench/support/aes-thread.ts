// A thread that does nothing but AES-256-GCM: so many records of 65,520 bytes, the fastest way Node has.
import { createCipheriv } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { RECORD_PLAIN_BYTES } from '#node/wire/types.ts';

const port = parentPort;
if (port === null) throw new Error('aes-thread.ts runs as a worker thread');
const [key, nonce] = [Buffer.alloc(32, 7), Buffer.alloc(12)];
const plain = Buffer.alloc(16 * RECORD_PLAIN_BYTES);

port.on('message', (records: number) => {
  let sum = 0;
  for (let record = 0; record < records; record++) {
    const at = (record % 16) * RECORD_PLAIN_BYTES;
    nonce.writeUInt32BE(record, 8);
    const gcm = createCipheriv('aes-256-gcm', key, nonce);
    sum += gcm.update(plain.subarray(at, at + RECORD_PLAIN_BYTES))[0]!;
    gcm.final();
    sum += gcm.getAuthTag()[0]!;
  }
  port.postMessage(sum);
});
