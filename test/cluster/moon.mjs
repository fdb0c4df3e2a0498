// What the Moon test does on the Moon, in a pod with the product's image: `storj` with the 24 words of the
// environment, and files in /work.
//   check COUNT ROUNDS   lists and reads everything, compares it byte for byte; prints a summary
//   write ROUND          200 objects more, 50 of those from Earth deleted
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const [command, ...numbers] = process.argv.slice(2);
const [first = 0, second = 0] = numbers.map(Number);
const bucket = process.env.BUCKET;
const storj = (...args) => execFileSync('/usr/local/bin/storj', args, { maxBuffer: 2 ** 28 }).toString();

const sizeOf = (number) =>
  number % 1000 === 1 ? 2_000_000 + number : number % 100 === 2 ? 150_000 + number : (number * 37) % 4096;
const keyOf = (name, number) => `${name}/${number % 10}/${number}`;
function content(name, number, version) {
  const block = createHash('sha256').update(`${name} ${number} ${version}`).digest();
  const size = sizeOf(number);
  return Buffer.concat(Array.from({ length: Math.floor(size / 32) + 1 }, () => block)).subarray(0, size);
}

// The same rules as in moon-s3.py.
function expected(count, rounds) {
  const found = new Map();
  for (let number = 0; number < count; number++) {
    if (number % 7 !== 3) found.set(keyOf('earth', number), ['earth', number, number % 4 === 0 ? 2 : 1]);
  }
  for (let moon = 0; moon < rounds; moon++) {
    for (let number = 0; number < 200; number++) found.set(keyOf(`moon-${moon}`, number), [`moon-${moon}`, number, 1]);
    for (let number = moon * 50; number < moon * 50 + 50; number++) found.delete(keyOf('earth', number));
  }
  return found;
}

function check(count, rounds) {
  const wanted = expected(count, rounds);
  const lines = storj('ls', '-r', bucket, '--json').split('\n').filter(Boolean);
  const listed = new Set(lines.map((line) => JSON.parse(line).key));
  rmSync('/work/out', { recursive: true, force: true });
  storj('cp', '-r', `sj://${bucket}/`, '/work/out', '--quiet');
  const wrong = [...wanted].filter(([key, what]) => !readFileSync(join('/work/out', key)).equals(content(...what)));
  return {
    objects: listed.size,
    missing: [...wanted.keys()].filter((key) => !listed.has(key)).slice(0, 5),
    undead: [...listed].filter((key) => !wanted.has(key)).slice(0, 5),
    wrong: wrong.map(([key]) => key).slice(0, 5),
  };
}

function write(moon) {
  rmSync('/work/in', { recursive: true, force: true });
  for (let number = 0; number < 200; number++) {
    const file = join('/work/in', keyOf(`moon-${moon}`, number));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content(`moon-${moon}`, number, 1));
  }
  storj('cp', '-r', '/work/in', `sj://${bucket}/`, '--quiet');
  const numbers = Array.from({ length: 50 }, (_, i) => moon * 50 + i).filter((number) => number % 7 !== 3);
  storj('rm', ...numbers.map((number) => `${bucket}/${keyOf('earth', number)}`));
  return { written: 200 };
}

console.log(JSON.stringify(command === 'check' ? check(first, second) : write(first)));
