// Who we are to which API server. The one place that runs code of @kubernetes/client-node: its KubeConfig knows
// kubeconfig files, service accounts, exec plugins and OIDC.
import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';

type Material = string | Buffer | (string | Buffer)[];

/** What one request needs. All of it may change from one request to the next. */
export interface Access {
  headers: Record<string, string>;
  tls: {
    ca?: Material;
    cert?: Material;
    key?: Material;
    servername?: string;
    rejectUnauthorized?: boolean;
  };
}

export interface Credentials {
  /** E.g. `https://10.96.0.1:443`, without a slash at the end. */
  readonly server: string;
  readonly proxyUrl?: string;
  /** The namespace of the context or service account. */
  readonly namespace: string;
  access(): Promise<Access>;
}

export class CredentialsError extends Error {
  readonly code = 'Credentials';

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = 'CredentialsError';
  }
}

export interface CredentialsSource {
  /** A kubeconfig file. Absent: the pod's service account. */
  kubeconfigPath?: string;
  /** A context of the file; default its current one. */
  context?: string;
}

/** Fails with CredentialsError where the source can't be read or names no cluster. */
export function loadCredentials(source: CredentialsSource): Credentials {
  const config = new KubeConfig();
  try {
    if (source.kubeconfigPath === undefined) config.loadFromCluster();
    else config.loadFromFile(source.kubeconfigPath);
  } catch (error) {
    throw new CredentialsError(`The kubeconfig can't be read: ${(error as Error).message}`, error);
  }
  if (source.context !== undefined) {
    if (config.getContextObject(source.context) === null) {
      const names = config.getContexts().map(({ name }) => name);
      throw new CredentialsError(`There is no context ${source.context}; there are: ${names.join(', ') || 'none'}.`);
    }
    config.setCurrentContext(source.context);
  }
  return credentialsOf(config);
}

function credentialsOf(config: KubeConfig): Credentials {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new CredentialsError('The kubeconfig names no current cluster: set a current context.');
  if (cluster.proxyUrl?.startsWith('socks')) {
    throw new CredentialsError(`SOCKS proxies (${cluster.proxyUrl}) aren't supported: use an HTTP proxy.`);
  }
  const context = config.getContextObject(config.getCurrentContext());
  return {
    server: cluster.server.replace(/\/+$/, ''),
    ...(cluster.proxyUrl === undefined ? {} : { proxyUrl: cluster.proxyUrl }),
    namespace: context?.namespace ?? 'default',
    access: () => accessOf(config),
  };
}

async function accessOf(config: KubeConfig): Promise<Access> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const { ca, cert, key, servername, rejectUnauthorized, auth } = options;
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value);
  if (typeof auth === 'string') headers['Authorization'] = `Basic ${Buffer.from(auth).toString('base64')}`;
  return {
    headers,
    tls: {
      ...(ca ? { ca: ca } : {}),
      ...(cert ? { cert: cert } : {}),
      ...(key ? { key: key as Material } : {}),
      ...(servername ? { servername } : {}),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    },
  };
}
