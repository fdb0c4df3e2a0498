import { describe } from 'vitest';
import { createMemoryKube } from '#operator/kube/memory-kube.ts';
import { configMaps } from '#operator/kube/resources.ts';
import { applierExam } from '../../suites/applier.ts';
import { kubeClientExam } from '../../suites/kube-client.ts';

describe('memory adapter', () => {
  kubeClientExam(() => {
    const client = createMemoryKube();
    return Promise.resolve({
      client,
      namespace: 'exam',
      ancient: () => {
        client.compact();
        return Promise.resolve({ type: configMaps, resourceVersion: '1' });
      },
    });
  });
  applierExam(() => Promise.resolve({ client: createMemoryKube(), namespace: 'exam' }));
});
