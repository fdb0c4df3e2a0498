// The heap of a node starts with room (node-flags.ts), or transfers would make V8 collect all the time.
// What they leave behind would then lie for hours in a process that does little: it is collected in idle moments.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const EVERY_MS = 15_000;
/** Of one core: on a machine that is shared an idle process may seem to take a tenth. A collection costs some 50 ms. */
const IDLE_SHARE = 0.25;
const WORTH_BYTES = 4 * 1024 * 1024;

/** As long as the process lives, without keeping it alive. */
export function collectWhenIdle(everyMs = EVERY_MS): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heldBytes = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  let cpu = process.cpuUsage();
  let keptBytes = 0;
  setInterval(() => {
    const { user, system } = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    if (user + system > IDLE_SHARE * everyMs * 1000 || heldBytes() < keptBytes + WORTH_BYTES) return;
    collect();
    keptBytes = heldBytes();
  }, everyMs).unref();
}
