// npm run sim -- --seeds N --from S: so many worlds, from this seed on. A seed that breaks tells its story, and
// tells it again in the same words with --seeds 1 --from <seed>. --stop ends at the first that breaks, --story tells
// every story.
import { parseArgs } from 'node:util';
import './joined-signals.ts';
import './remembered-signatures.ts';
import { runSeed } from './life.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    stop: { type: 'boolean', default: false },
    story: { type: 'boolean', default: false },
  },
});
const [from, seeds] = [Number(values.from), Number(values.seeds)];
// Thousands of refusals are made and caught; their stacks help nobody but whoever looks at one story.
if (!values.story) Error.stackTraceLimit = 0;
const startMs = Date.now();
let acknowledged = 0;
let broken = 0;
for (let seed = from; seed < from + seeds; seed++) {
  const outcome = await runSeed(seed);
  acknowledged += outcome.acknowledged;
  if (values.story || outcome.violation !== null) console.log(outcome.story.join('\n'));
  if (outcome.violation !== null) {
    broken += 1;
    console.log(`seed ${seed} is broken: ${outcome.violation}\nagain: npm run sim -- --seeds 1 --from ${seed}`);
  }
  if (broken > 0 && values.stop) break;
  const done = seed - from + 1;
  if (done % 50 === 0 || done === seeds) {
    const seconds = (Date.now() - startMs) / 1000;
    console.log(`${done} of ${seeds} seeds, ${broken} broken, ${acknowledged} writes acknowledged, ${seconds.toFixed(0)} s`);
  }
}
process.exitCode = broken === 0 ? 0 : 1;
