// The certificate of S3 as it lies in a mounted Secret: read at start, and again when it was renewed.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '#node/admin/log.ts';
import { pause, type Runtime } from '#node/log/runtime.ts';

const POLL_MS = 10_000;

export interface Certificate {
  /** PEM, the chain after it. */
  cert: string;
  key: string;
}

export async function readCertificate(folder: string): Promise<Certificate> {
  const [cert, key] = await Promise.all(['tls.crt', 'tls.key'].map((name) => readFile(join(folder, name), 'utf8')));
  return { cert: cert!, key: key! };
}

/** Hands on each new one that can be used; what can't be leaves the last one in force. Runs until the signal aborts. */
export async function watchCertificate(
  { folder, inForce }: { folder: string; inForce: Certificate },
  onRenewed: (certificate: Certificate) => void,
  { log, signal, runtime }: { log: Log; signal: AbortSignal; runtime: Runtime },
): Promise<void> {
  let seen = inForce;
  for (;;) {
    await pause(runtime, POLL_MS, signal);
    if (signal.aborted) return;
    try {
      const now = await readCertificate(folder);
      if (now.cert === seen.cert && now.key === seen.key) continue;
      seen = now;
      onRenewed(now);
      log.info({ folder }, 'a renewed certificate is in force');
    } catch (error) {
      log.warn({ folder, why: (error as Error).message }, "the certificate can't be used; the last one stays in force");
    }
  }
}
