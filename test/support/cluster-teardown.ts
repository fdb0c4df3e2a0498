// Ends the cluster of level `cluster` after its last test. STORJ_TEST_KEEP leaves it, to be looked at.
import { removeClusterNamed } from '#infra/local/local-cluster.ts';
import { TEST_CLUSTER } from './test-cluster.ts';

export async function teardown(): Promise<void> {
  if (process.env['STORJ_TEST_KEEP'] === undefined) await removeClusterNamed(TEST_CLUSTER);
}
