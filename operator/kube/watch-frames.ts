// A watch's bytes → its frames: JSON objects, each on a line of its own.
import { KubeError } from './errors.ts';

/** Above the largest object that etcd takes (1.5 MiB, twice for a safe distance, and its escapes). */
const frameLimitBytes = 16 * 2 ** 20;
const newline = 10;

/** Fails with KubeError (Unavailable) on a frame that isn't JSON, or never ends. */
export async function* watchFrames(what: string, stream: AsyncIterable<Uint8Array>): AsyncGenerator {
  let parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (let to = chunk.indexOf(newline); to >= 0; to = chunk.indexOf(newline, from)) {
      parts.push(chunk.subarray(from, to));
      const frame = Buffer.concat(parts).toString('utf8').trim();
      parts = [];
      sizeBytes = 0;
      from = to + 1;
      if (frame !== '') yield parse(what, frame);
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
    sizeBytes += chunk.length - from;
    if (sizeBytes > frameLimitBytes)
      throw new KubeError('Unavailable', `${what}: a frame is longer than ${frameLimitBytes} bytes.`);
  }
  if (sizeBytes > 0) throw new KubeError('Unavailable', `${what}: the stream ended within a frame.`);
}

function parse(what: string, frame: string): unknown {
  try {
    return JSON.parse(frame);
  } catch (cause) {
    throw new KubeError('Unavailable', `${what}: a frame isn't JSON.`, { cause });
  }
}
