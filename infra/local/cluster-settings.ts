// What a cluster was started with, kept in its state folder so that a second `up` can compare.
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { z } from 'zod';
import { ADDRESSES } from './cluster-paths.ts';
import { ClusterError } from './errors.ts';

const clusterSettings = z.object({
  mode: z.enum(['node', 'control-plane']),
  port: z.int().min(1).max(65_535),
  forwards: z.array(z.string()),
  apiserverArgs: z.array(z.string()),
  controllerManagerArgs: z.array(z.string()),
  audit: z.enum(['None', 'Metadata', 'Request', 'RequestResponse']),
});
export type ClusterSettings = Readonly<z.infer<typeof clusterSettings>>;

export function readSettings(path: string): ClusterSettings | undefined {
  if (!existsSync(path)) return undefined;
  return clusterSettings.parse(JSON.parse(readFileSync(path, 'utf8')));
}

/** The settings that a caller named and that a running cluster doesn't have, as words for an error message. */
export function differences(running: ClusterSettings, wanted: Partial<ClusterSettings>): string[] {
  const keys = Object.keys(wanted) as (keyof ClusterSettings)[];
  return keys
    .filter((key) => wanted[key] !== undefined && JSON.stringify(wanted[key]) !== JSON.stringify(running[key]))
    .map((key) => `${key} is ${JSON.stringify(running[key])}, wanted ${JSON.stringify(wanted[key])}`);
}

/** "30900" means this NodePort on 127.0.0.1; otherwise LOOPBACK_IP:PORT=IP:PORT, the right side inside the cluster. */
export function parseForward(text: string): string {
  if (/^\d{1,5}$/.test(text)) return parseForward(`127.0.0.1:${text}=${ADDRESSES.node}:${text}`);
  const [host, inside, rest] = text.split('=');
  const valid = (side: string | undefined) => {
    const [ip, port, more] = (side ?? '').split(':');
    return (
      more === undefined && isIP(ip ?? '') === 4 && /^\d{1,5}$/.test(port ?? '') && Number(port) >= 1 && Number(port) <= 65_535
    );
  };
  if (rest !== undefined || !valid(host) || !valid(inside) || !host?.startsWith('127.')) {
    throw new ClusterError(
      'BadForward',
      `"${text}" isn't a forward`,
      'write a NodePort (30900), or 127.0.0.1:PORT=IP:PORT with the address inside the cluster on the right',
    );
  }
  return text;
}
