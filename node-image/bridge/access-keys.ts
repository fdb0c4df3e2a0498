// The access keys that are alive: exactly those of the newest desired state.
import type { AccessKey } from '#node/interface/config.ts';
import type { Credentials } from './s3/authenticate.ts';

export interface AccessKeys {
  find: (accessKeyId: string) => Credentials | null;
  replace(keys: readonly AccessKey[]): void;
}

export function createAccessKeys(): AccessKeys {
  let keys = new Map<string, Credentials>();
  return {
    find: (accessKeyId) => keys.get(accessKeyId) ?? null,
    replace(wanted) {
      keys = new Map(
        wanted.map(({ displayName, ...key }) => [
          key.accessKeyId,
          { ...key, displayName: displayName ?? key.owner.slice(0, 16) },
        ]),
      );
    },
  };
}
