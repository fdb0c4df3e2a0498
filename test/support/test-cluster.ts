// The cluster that the tests of level `cluster` share: a real node, or with --context an existing one.
// It is started by the first test that asks and ended by the level's teardown.
import { contextTarget, type Target } from '#infra/demo/target.ts';
import { ensureCluster, type LocalCluster } from '#infra/local/local-cluster.ts';
import { buildProductImage } from '#node/image.ts';

export const TEST_CLUSTER = 'test';

export interface TestCluster extends Target {
  /** Only on the local cluster: what the user's own cluster doesn't show. */
  local: LocalCluster | null;
  /** Of the product, usable by pods. */
  image: string;
}

let cluster: Promise<TestCluster> | undefined;

export function testCluster(): Promise<TestCluster> {
  cluster ??= open();
  return cluster;
}

async function open(): Promise<TestCluster> {
  const context = process.env['STORJ_TEST_CONTEXT'];
  const built = await buildProductImage();
  if (context !== undefined) {
    const target = await contextTarget(context, process.env['STORJ_TEST_REGISTRY']);
    return { ...target, local: null, image: await target.provideImage(built) };
  }
  const local = await ensureCluster({
    name: TEST_CLUSTER,
    mode: 'node',
    audit: 'Metadata',
    onProgress: (text) => console.log(`[cluster] ${text}`),
  });
  await local.loadImage(built);
  return {
    local,
    image: built.name,
    kubectl: (args, options) => local.kubectl(args, options),
    helm: (args, options) => local.helm(args, options),
    provideImage: async (image) => {
      await local.loadImage(image);
      return image.name;
    },
    kubectlHint: 'kubectl',
    s3Endpoint: null,
  };
}
