// One image, three roles: `node main.ts farmer|bridge|repairer`. Each role loads only its own code.
import { parseSettings, type NodeSettings } from './config.ts';
import { collectWhenIdle } from './interface/idle-collection.ts';

const RUN: Record<NodeSettings['role'], (settings: NodeSettings, signal: AbortSignal) => Promise<void>> = {
  farmer: async (settings, signal) => await (await import('./farmer/run-farmer.ts')).runFarmer(settings, signal),
  bridge: async (settings, signal) => await (await import('./bridge/bridge.ts')).runBridge(settings, signal),
  repairer: async (settings, signal) => await (await import('./repairer/repairer.ts')).runRepairer(settings, signal),
};

const stopping = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.abort(new Error(signal)));
// On a local farm: without whoever started it nobody would ever stop it.
process.once('disconnect', () => stopping.abort(new Error('the process that started this node is gone')));
try {
  const settings = parseSettings(process.argv[2], process.env);
  collectWhenIdle();
  await RUN[settings.role](settings, stopping.signal);
  process.exit(0);
} catch (error) {
  console.error(
    JSON.stringify({
      level: 'fatal',
      msg: error instanceof Error ? error.message : String(error),
      stack: error instanceof Error ? error.stack : undefined,
    }),
  );
  process.exit(1);
}
