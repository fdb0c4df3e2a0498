// One budget for all farmers: as many may be evicted at a time as the data can spare.
import type { PodDisruptionBudget } from '#operator/kube/resources.ts';
import { farmNames } from '../names.ts';
import { childMeta, selectorOf, type Build } from './common.ts';

export function disruptionBudget(build: Build, maxUnavailable: number): PodDisruptionBudget {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: childMeta(build, farmNames(build.farm.name).budget, 'farmer'),
    spec: {
      maxUnavailable,
      selector: { matchLabels: selectorOf(build.farm.name, 'farmer') },
      // A farmer that is down already protects nothing.
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    },
  };
}
