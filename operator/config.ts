// The operator's environment, parsed once. The chart (charts/storj-operator) sets all of it.
import * as z from 'zod';

const environmentSchema = z.object({
  /** Where the Lease lives. */
  STORJ_OPERATOR_NAMESPACE: z.string().min(1),
  /** Holder identity of the Lease. */
  STORJ_OPERATOR_POD: z.string().min(1),
  /** `release namespace/release name`: children carry it, so a reinstall goes on and another install doesn't. */
  STORJ_OPERATOR_INSTALL_ID: z.string().regex(/^[^/]+\/[^/]+$/, 'namespace/name of the Helm release'),
  /** Comma-separated; empty = all namespaces. */
  STORJ_OPERATOR_WATCH_NAMESPACES: z.string().default(''),
  /** Image of new farms without spec.image. */
  STORJ_OPERATOR_NODE_IMAGE: z.string().min(1),
  /** Name of the Lease. */
  STORJ_OPERATOR_LEASE: z.string().default('storj-operator'),
  /** /healthz, /readyz, /metrics (plain HTTP). */
  STORJ_OPERATOR_PORT: z.coerce.number().int().min(0).max(65_535).default(8080),
  /** Outside of a cluster: a kubeconfig file. Absent: the pod's service account. */
  STORJ_OPERATOR_KUBECONFIG: z.string().min(1).optional(),
  STORJ_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

export interface OperatorConfig {
  namespace: string;
  podName: string;
  installId: string;
  /** Empty = all. */
  watchNamespaces: string[];
  nodeImage: string;
  leaseName: string;
  port: number;
  /** Undefined: the pod's service account. */
  kubeconfigPath: string | undefined;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** @throws Error that names the variable and what it should hold. */
export function parseConfig(environment: Record<string, string | undefined>): OperatorConfig {
  const result = environmentSchema.safeParse(environment);
  if (!result.success) throw new Error(`bad environment: ${z.prettifyError(result.error)}`);
  const env = result.data;
  return {
    namespace: env.STORJ_OPERATOR_NAMESPACE,
    podName: env.STORJ_OPERATOR_POD,
    installId: env.STORJ_OPERATOR_INSTALL_ID,
    watchNamespaces: env.STORJ_OPERATOR_WATCH_NAMESPACES.split(',').filter((name) => name !== ''),
    nodeImage: env.STORJ_OPERATOR_NODE_IMAGE,
    leaseName: env.STORJ_OPERATOR_LEASE,
    port: env.STORJ_OPERATOR_PORT,
    kubeconfigPath: env.STORJ_OPERATOR_KUBECONFIG,
    logLevel: env.STORJ_LOG_LEVEL,
  };
}
