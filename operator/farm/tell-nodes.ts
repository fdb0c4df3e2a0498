// The fast path of the configuration: PUT to those who should act on it now. The mounted ConfigMap brings it to all
// others within a minute or two.
import type { Context } from '#operator/context.ts';
import type { NodeAddress } from '#operator/nodes.ts';
import type { KeyPair } from '#node/core/keys.ts';
import type { FarmConfig } from '#node/interface/config.ts';
import type { FarmMemory } from './memory.ts';
import type { Observed } from './observed.ts';
import { addressOf, bounded, inParallel, serverAt } from './observe-nodes.ts';
import { canonical } from './plan.ts';

interface Tell {
  address: NodeAddress;
  podUid: string;
  /** What this node must have acknowledged. */
  mark: string;
}

/** Bridge and repairers get every generation; a farmer when what the roster says of it changed. */
function toTell(observed: Observed, config: FarmConfig): Tell[] {
  const mark = `${config.epoch}/${config.generation}`;
  const servers = [
    { server: observed.bridge, identity: config.bridges[0] },
    ...config.repairers.map(({ repairer }, number) => ({ server: observed.repairers[number], identity: repairer })),
  ].flatMap(({ server, identity }): Tell[] => {
    const address = serverAt(server, identity);
    return server && address ? [{ address, podUid: server.podUid, mark }] : [];
  });
  const farmers = config.roster.flatMap((member): Tell[] => {
    const pod = observed.pods.find(({ name }) => name === member.slot);
    if (member.state === 'Lost' || !pod || pod.ip === '' || pod.isTerminating) return [];
    return [{ address: addressOf(pod, member.farmer), podUid: pod.uid, mark: `${config.epoch} ${canonical(member)}` }];
  });
  return [...servers, ...farmers];
}

/** Names of pods that haven't acknowledged yet. */
export async function tellNodes(
  { nodes, log }: Context,
  observed: Observed,
  config: FarmConfig,
  control: KeyPair,
  memory: FarmMemory,
  signal: AbortSignal,
): Promise<string[]> {
  const all = toTell(observed, config);
  const alive = new Set(all.map(({ podUid }) => podUid));
  for (const uid of memory.acked.keys()) if (!alive.has(uid)) memory.acked.delete(uid);
  const missing: string[] = [];
  await inParallel(
    all.filter(({ podUid, mark }) => memory.acked.get(podUid) !== mark),
    async ({ address, podUid, mark }) => {
      try {
        await nodes.putConfig(address, control, config, bounded(signal));
        memory.acked.set(podUid, mark);
      } catch (error) {
        signal.throwIfAborted();
        missing.push(address.pod);
        log.debug({ pod: address.pod }, `The configuration isn't acknowledged: ${(error as Error).message}`);
      }
    },
  );
  return missing.sort();
}
