// A folder of this machine as image entries: links stay links, owners and special bits go.
import { lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { TarEntry } from './tar.ts';

/** Everything below folder, under prefix (relative, or '' for the image's root). Sockets and devices are left out. */
export function folderEntries(folder: string, prefix = ''): TarEntry[] {
  const entries: TarEntry[] = [];
  for (const found of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const source = join(found.parentPath, found.name);
    const path = join(prefix, relative(folder, source));
    const mode = (lstatSync(source).mode & 0o111) === 0 ? 0o644 : 0o755;
    if (found.isSymbolicLink()) entries.push({ path, mode: 0o777, content: { linkTo: readlinkSync(source) } });
    else if (found.isDirectory()) entries.push({ path, mode: 0o755, content: 'folder' });
    else if (found.isFile()) entries.push({ path, mode, content: { file: source } });
  }
  return entries;
}
