// The way from a bucket to its farm's bridge: who it is, where it is, what it says.
import type { LiveFarm } from '#operator/api.ts';
import type { Context } from '#operator/context.ts';
import type { FarmMemory } from '#operator/farm/memory.ts';
import type { BridgeLink } from './bridge-sync.ts';
import { marks } from '#operator/api.ts';
import { farmNames } from '#operator/farm/names.ts';
import { addressOf, configFact, keyFacts, serverFact } from '#operator/farm/observe.ts';
import { bounded, serverAddress } from '#operator/farm/observe-nodes.ts';
import { childKey } from '#operator/farm/observed.ts';
import { endpointOf, tlsFact, type TlsFact } from '#operator/farm/tls.ts';
import { configMaps, pods, services } from '#operator/kube/resources.ts';

export interface FoundBridge extends BridgeLink {
  /** ClusterIP of the Service; empty while there is none. */
  bridgeAddress: string;
  tls: TlsFact;
  /** Empty while there is no address. */
  endpoint: string;
}

export async function findBridge(
  context: Context,
  farm: LiveFarm,
  memory: FarmMemory,
  signal: AbortSignal,
): Promise<FoundBridge> {
  const { reader } = context;
  const { name, namespace = '' } = farm.metadata;
  const names = farmNames(name);
  const podList = await reader.list(pods, namespace, { [marks.farm]: name, 'app.kubernetes.io/component': 'bridge' }, signal);
  const config = await reader.get(configMaps, { namespace, name: names.config }, signal);
  const service = await reader.get(services, { namespace, name: names.bridge }, signal);
  const children = new Map(config ? [[childKey('ConfigMap', names.config), config]] : []);
  const keys = await keyFacts(context, farm, memory, signal);
  const bridgeAddress = addressOf(service?.spec?.clusterIP);
  const tls = await tlsFact(context, farm, bridgeAddress, signal);
  const found = {
    farm,
    bridge: serverFact(podList, 'bridge'),
    keys,
    config: configFact(children, names.config, memory),
    bridgeAddress,
    tls,
    endpoint: bridgeAddress === '' ? '' : endpointOf(farm, tls, bridgeAddress),
  };
  return { ...found, bridgeStatus: await askBridge(context, found, signal) };
}

export async function askBridge(
  { nodes }: Context,
  { bridge, keys }: Pick<BridgeLink, 'bridge' | 'keys'>,
  signal: AbortSignal,
): Promise<BridgeLink['bridgeStatus']> {
  const address = serverAddress(bridge, keys.bridge);
  if (!address || keys.control.state !== 'Ours') return undefined;
  try {
    return await nodes.bridgeStatus(address, keys.control.key, bounded(signal));
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
