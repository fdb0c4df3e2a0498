// Devices on a farm of real farmers: the owner's own key, and keys that the owner let write.
import { roleStatement } from '#node/client/account.ts';
import { createClient } from '#node/client/client.ts';
import { grantNetwork } from '#node/client/grant-network.ts';
import { openGrant } from '#node/client/grants.ts';
import { boxPublicKey, type KeyPair } from '#node/core/keys.ts';
import { passingState, type DeviceState } from '#node/device/device-state.ts';
import { storjOn, type Storj } from '#node/device/storj.ts';
import { fetchRoots, publishRoots } from '#node/log/roots.ts';
import { systemRuntime } from '#node/log/runtime.ts';
import { startLogWorld, within, type LogWorld } from '../log/support/log-world.ts';

export interface DeviceWorld extends LogWorld {
  /** By the owner's key, or by `writer`, which has to be admitted before. Closed with the world. */
  device(options?: { writer?: KeyPair; state?: Partial<DeviceState> }): Storj;
  /** By the text of a grant, which carries its key. */
  granted(text: string, seed?: Uint8Array): Storj;
  /** The owner lets this key write. */
  admitDevice(device: KeyPair): Promise<void>;
}

export async function startDeviceWorld(farmers = 4): Promise<DeviceWorld> {
  const world = await startLogWorld({ farmers });
  const { owner, access } = world;
  const open = new Set<Storj>();
  return {
    ...world,
    device({ writer = owner.keyPair, state } = {}) {
      const network = world.farm.networkOf(writer);
      const client = createClient({ network, farm: world.view, limits: { threads: 0, stallMs: 2000, hedgeMs: 100 } });
      const storj = storjOn({ client, access, writer, ...passingState(), ...state });
      open.add(storj);
      return {
        ...storj,
        async close() {
          open.delete(storj);
          await storj.close();
        },
      };
    },
    granted(text, seed) {
      const grant = openGrant(text, seed);
      const network = grantNetwork(world.farm.networkOf(grant.holder), grant);
      const client = createClient({ network, farm: world.view, limits: { threads: 0, stallMs: 2000, hedgeMs: 100 } });
      const storj = storjOn({ client, access: grant.access, writer: grant.holder, allowed: grant, ...passingState() });
      open.add(storj);
      return storj;
    },
    async admitDevice(device) {
      const { statements: known } = await fetchRoots(world.link(), access.owner, within());
      const subject = { publicKey: device.publicKey, box: boxPublicKey(device.seed) };
      const random32 = systemRuntime.random(32);
      const role = roleStatement({ owner, subject, role: 'writer', random32, issuedMs: 2 });
      await publishRoots(world.link(owner.keyPair), { owner: access.owner, statements: [role], known, signal: within() });
    },
    async stop() {
      await Promise.all([...open].map((storj) => storj.close()));
      await world.stop();
    },
  };
}
