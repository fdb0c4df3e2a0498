// The exam, and what only a real API server can tell, against one that runs for these tests alone.
import { afterAll, beforeAll, describe } from 'vitest';
import { applierExam } from '../../suites/applier.ts';
import { kubeClientExam } from '../../suites/kube-client.ts';
import { openControlPlane, type ControlPlane } from './control-plane.ts';

let plane: ControlPlane;
beforeAll(async () => {
  plane = await openControlPlane();
});
afterAll(() => plane.close());

describe('HTTP adapter', () => {
  kubeClientExam(async () => {
    const { client } = plane;
    const namespace = await plane.namespace();
    return {
      client,
      namespace,
      // Its watch cache began with the CRD, so it can't know what was before.
      ancient: async () => ({ type: await plane.customKind(), resourceVersion: '1' }),
    };
  });
  applierExam(async () => ({ client: plane.client, namespace: await plane.namespace() }));
});
