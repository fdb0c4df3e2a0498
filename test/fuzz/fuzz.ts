// npm run fuzz -- --cases N --seed S --from F: bad input for everything that reads what others send.
import { parseArgs } from 'node:util';
import { runFuzz } from './run-fuzz.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
  },
});
const [cases, seed, from] = [Number(values.cases), Number(values.seed), Number(values.from)];
const startMs = Date.now();
let toldMs = startMs;
const report = await runFuzz({
  seed,
  from,
  cases,
  onProgress(done) {
    if (Date.now() - toldMs < 5000) return;
    toldMs = Date.now();
    const seconds = (toldMs - startMs) / 1000;
    console.log(
      `${done} of ${cases} cases, ${Math.round(done / seconds)} a second, ${Math.round(((cases - done) * seconds) / done)} s left`,
    );
  },
});
for (const [name, count] of [...report.byTarget].sort((a, b) => b[1] - a[1]))
  console.log(`${String(count).padStart(9)}  ${name}`);
const seconds = (Date.now() - startMs) / 1000;
console.log(
  `${report.cases} cases in ${seconds.toFixed(0)} s, memory grew by ${(report.growthBytes / 1024 / 1024).toFixed(0)} MiB: nothing was found.`,
);
