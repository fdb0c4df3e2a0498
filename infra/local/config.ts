// The only reader of the environment in this folder: where caches and states lie, and what child
// processes inherit.
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface HostConfig {
  /** Binaries, images and packages: survive `down`, may be deleted at any time. */
  readonly cacheDir: string;
  /** One folder per running cluster. A real disk with a short path (unix sockets), not below /var/lib, /var/log or /run. */
  readonly stateRoot: string;
  /** What child processes get. */
  readonly environment: Readonly<Record<string, string>>;
}

export function hostConfig(env: NodeJS.ProcessEnv = process.env): HostConfig {
  const home = env.HOME === undefined || env.HOME === '' ? homedir() : env.HOME;
  const environment: Record<string, string> = { HOME: home };
  for (const [key, value] of Object.entries(env)) if (value !== undefined) environment[key] = value;
  // A login shell of an ordinary user lacks these; mkfs, losetup, nft and runc live there.
  environment.PATH = `${environment.PATH ?? '/usr/local/bin:/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`;
  return {
    cacheDir: env.LOCAL_KUBE_CACHE ?? join(env.XDG_CACHE_HOME ?? join(home, '.cache'), 'local-kube'),
    stateRoot: env.LOCAL_KUBE_STATE ?? '/var/tmp/local-kube',
    environment,
  };
}
