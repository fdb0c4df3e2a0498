// How pods are found: the headless Service of the farmers, and the bridge's S3.
import type { Service } from '#operator/kube/resources.ts';
import { PORTS } from '#node/interface/ports.ts';
import { farmNames } from '../names.ts';
import { childMeta, selectorOf, type Build } from './common.ts';

export function farmersService(build: Build): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: childMeta(build, farmNames(build.farm.name).farmersService, 'farmer'),
    spec: {
      clusterIP: 'None',
      // A farm must find itself before its farmers are ready.
      publishNotReadyAddresses: true,
      selector: selectorOf(build.farm.name, 'farmer'),
      ports: [
        { name: 'pieces', port: PORTS.pieces, targetPort: 'pieces', protocol: 'TCP' },
        { name: 'libp2p', port: PORTS.libp2p, targetPort: 'libp2p', protocol: 'TCP' },
      ],
    },
  };
}

export function bridgeService(build: Build): Service {
  const { type, nodePort } = build.farm.spec.bridge.service;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: childMeta(build, farmNames(build.farm.name).bridge, 'bridge'),
    spec: {
      type,
      selector: selectorOf(build.farm.name, 'bridge'),
      ports: [{ name: 's3', port: PORTS.s3, targetPort: 's3', protocol: 'TCP', ...(nodePort === undefined ? {} : { nodePort }) }],
    },
  };
}
