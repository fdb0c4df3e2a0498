// The farm's configuration for its nodes: farm.json, mounted as a directory. Also the anchor that says which install
// of the operator manages the farm. Not hashed into any template: a new roster restarts nothing.
import type { FarmConfig } from '#node/interface/config.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';
import { configKey, farmNames } from '../names.ts';
import { childMeta, type Build } from './common.ts';

export function configMap(build: Build, config: FarmConfig): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: childMeta(build, farmNames(build.farm.name).config, 'config'),
    data: { [configKey]: JSON.stringify(config) },
  };
}
