// A farmer that leaves, as the operator sees it: by its own rules, from what everybody's status says.
import { bridgeStatus } from '#node/bridge/bridge-status.ts';
import type { FarmerStatus } from '#node/interface/status.ts';
import { isProven, isQuiet } from '#operator/farm/drain.ts';
import type { FarmerHome, World } from './world.ts';

/** True as soon as its volume may go; false where that takes too long. It is Leaving when this is called. */
export async function isDrained(world: World, home: FarmerHome): Promise<boolean> {
  const farmer = home.keyPair.publicKey;
  const leavingSince = world.current().generation;
  let floorMs: number | undefined;
  for (let i = 0; i < 60 && world.farmers.includes(home); i++) {
    await world.sleep(2000);
    const { bridge, repairer } = world;
    const report = repairer?.repair.report();
    const about = { bridge: world.bridgeKey.publicKey, version: 'sim', startedMs: 0, s3Port: 1 };
    const quiet = isQuiet(farmer, {
      leavingSince,
      hasBridge: true,
      bridge: bridge ? bridgeStatus(about, world.current(), bridge.bridge) : undefined,
      farmer: home.running ? ({ farmer, ...dutyOf(home) } as FarmerStatus) : undefined,
      isReady: home.running !== null,
      report,
    });
    if (quiet.done) floorMs ??= report?.atMs;
    else floorMs = undefined;
    if (quiet.done && isProven(farmer, { report, floorMs }).done && !world.zombie) return true;
  }
  return false;
}

function dutyOf({ running }: FarmerHome): Pick<FarmerStatus, 'cordonedMs' | 'transfersInFlight' | 'lastTransferMs'> {
  const { cordonedMs, transfersInFlight, lastTransferMs } = running!.farmer.duty;
  return { cordonedMs, transfersInFlight, lastTransferMs };
}
