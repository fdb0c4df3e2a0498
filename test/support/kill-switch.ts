// A client that dies: after its k-th write (which still happens) every call fails, as if the process were gone.
import type { KubeClient } from '#operator/kube/client.ts';

class Killed extends Error {}

export interface KillSwitch {
  client: KubeClient;
  writes(): number;
  isDead(): boolean;
}

const writing = new Set(['create', 'apply', 'replace', 'mergePatch', 'delete']);

export function killAfter(inner: KubeClient, limit: number): KillSwitch {
  let writes = 0;
  const client = new Proxy(inner, {
    get(target, name: keyof KubeClient) {
      const method = target[name] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]): Promise<unknown> => {
        if (writes >= limit) throw new Killed();
        if (!writing.has(name)) return method.apply(target, args);
        writes += 1;
        const result = await method.apply(target, args);
        if (writes >= limit) throw new Killed();
        return result;
      };
    },
  });
  return { client, writes: () => writes, isDead: () => writes >= limit };
}
