// Where the demo runs: its own local cluster, or a Kubernetes that the user named.
import { ensureCluster, removeClusterNamed } from '#infra/local/local-cluster.ts';
import { runCommand, type RunOptions } from '#infra/local/run-command.ts';
import { pushImage } from '#node/oci/push-image.ts';

export interface Target {
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  helm(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Makes an image archive usable by the nodes; returns the name that pods use. */
  provideImage(image: { name: string; tar: string }): Promise<string>;
  /** How a person reaches the same cluster: a prefix for kubectl. */
  kubectlHint: string;
  /** S3 from this machine, or null where only the cluster has an address for it. */
  s3Endpoint: string | null;
}

const DEMO_CLUSTER = 'demo';
const API_PORT = 6443;
export const S3_NODE_PORT = 30900;

/** The demo's own cluster, started where it doesn't run. */
export async function localTarget(say: (text: string) => void): Promise<Target> {
  const cluster = await ensureCluster({ name: DEMO_CLUSTER, port: API_PORT, forwards: [String(S3_NODE_PORT)], onProgress: say });
  return {
    kubectl: (args, options) => cluster.kubectl(args, options),
    helm: (args, options) => cluster.helm(args, options),
    provideImage: async (image) => {
      await cluster.loadImage(image);
      return image.name;
    },
    kubectlHint: `kubectl --kubeconfig ${cluster.kubeconfigPath}`,
    s3Endpoint: `http://127.0.0.1:${S3_NODE_PORT}`,
  };
}

/** Ends the demo's own cluster, also what a broken start left. Returns whether there was one. */
export async function removeLocalTarget(): Promise<boolean> {
  return await removeClusterNamed(DEMO_CLUSTER);
}

/**
 * A cluster of the user's kubeconfig, with the kubectl and helm of the PATH. Images are pushed to `registry`
 * there, or loaded by `kind` where the context is one of kind's.
 */
export async function contextTarget(context: string, registry: string | undefined): Promise<Target> {
  const tool = async (command: string, args: readonly string[], options?: RunOptions) =>
    (await runCommand(command, args, options)).stdout;
  await tool('kubectl', ['--context', context, 'version', '--request-timeout=10s']);
  await tool('helm', ['version', '--short']);
  return {
    kubectl: (args, options) => tool('kubectl', ['--context', context, ...args], options),
    helm: (args, options) => tool('helm', ['--kube-context', context, ...args], options),
    provideImage: async ({ name, tar }) => {
      if (registry !== undefined) {
        const pushed = `${registry}/${name.split('/').at(-1)}`;
        await pushImage({ archive: tar, reference: pushed });
        return pushed;
      }
      if (!context.startsWith('kind-')) {
        throw new Error(`the nodes of "${context}" need a registry for images: say --registry HOST/PATH (or use a kind cluster)`);
      }
      await tool('kind', ['load', 'image-archive', tar, '--name', context.slice('kind-'.length)], { timeoutMs: 600_000 });
      return name;
    },
    kubectlHint: `kubectl --context ${context}`,
    s3Endpoint: null,
  };
}
