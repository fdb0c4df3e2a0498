// A farmer's identity is born on its volume and never leaves it.
import { randomBytes } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { keyPairFromSeed, type KeyPair } from '#node/core/keys.ts';

const SEED_FILE = 'identity.seed';

class IdentityError extends Error {
  readonly code = 'BadIdentity';
}

/** The folder's key, made where there is none: 32 random bytes in hex, readable by its owner only. */
export async function farmerIdentity(folder: string): Promise<KeyPair> {
  const path = join(folder, SEED_FILE);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return keyPairFromSeed(await newSeed(folder, path));
  return keyPairFromSeed(parseSeed(text, path));
}

function parseSeed(text: string, path: string): Uint8Array {
  const hex = text.trim();
  if (!/^[0-9a-f]{64}$/i.test(hex)) throw new IdentityError(`${path} must hold a seed: 32 bytes in hex, 64 digits.`);
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

async function newSeed(folder: string, path: string): Promise<Uint8Array> {
  const seed = new Uint8Array(randomBytes(32));
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(`${Buffer.from(seed).toString('hex')}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  // A crash must not leave a store whose identity is gone.
  const dir = await open(folder, 'r');
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
  return seed;
}
