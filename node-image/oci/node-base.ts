// The bottom of every image that runs our Node: a C library, Node, and the few files that a user id
// and DNS need.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sharedLibraries } from './elf-files.ts';
import type { TarEntry } from './tar.ts';

/** What images run as: the number that distroless images use too. */
export const IMAGE_USER_ID = 65_532;

/** Users, name service, an empty /tmp: what a root file system needs beside programs. */
export function systemEntries(): TarEntry[] {
  const text = (path: string, lines: string[]): TarEntry => ({
    path,
    mode: 0o644,
    content: { bytes: Buffer.from(`${lines.join('\n')}\n`) },
  });
  return [
    text('etc/passwd', [
      'root:x:0:0:root:/root:/sbin/nologin',
      `nonroot:x:${IMAGE_USER_ID}:${IMAGE_USER_ID}:nonroot:/tmp:/sbin/nologin`,
    ]),
    text('etc/group', ['root:x:0:', `nonroot:x:${IMAGE_USER_ID}:`]),
    text('etc/nsswitch.conf', ['passwd: files', 'group: files', 'hosts: files dns']),
    { path: 'tmp', mode: 0o1777, content: 'folder' },
  ];
}

/** root: folder of package.json; addons: binaries whose libraries are needed too. */
export function nodeBaseEntries(root: string, addons: readonly string[] = []): TarEntry[] {
  const node = join(root, `node_modules/node-linux-${process.arch}/bin/node`);
  if (process.platform !== 'linux' || !existsSync(node))
    throw new Error(`images are built on Linux with glibc, after npm ci: there is no ${node}`);
  return [
    ...systemEntries(),
    { path: 'usr/local/bin/node', mode: 0o755, content: { file: node } },
    ...sharedLibraries([node, ...addons]),
  ];
}
