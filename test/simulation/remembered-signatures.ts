// Checking an Ed25519 signature costs more than anything else here, and every replica and every reader checks the
// same ones. Import this before the product: the same question to node:crypto gets the answer it got before.
import crypto, { type KeyObject } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const MAX_REMEMBERED = 20_000;
const check = crypto.verify.bind(crypto) as typeof crypto.verify;
let answers = new WeakMap<KeyObject, Map<string, boolean>>();
let remembered = 0;

function remembering(_: null, message: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  const known = answers.get(key) ?? new Map<string, boolean>();
  answers.set(key, known);
  const question = `${Buffer.from(signature).toString('latin1')}${Buffer.from(message).toString('latin1')}`;
  const before = known.get(question);
  if (before !== undefined) return before;
  const answer = check(null, message, key, signature);
  known.set(question, answer);
  if (++remembered > MAX_REMEMBERED) {
    answers = new WeakMap();
    remembered = 0;
  }
  return answer;
}

Object.assign(crypto, { verify: remembering });
syncBuiltinESMExports();
