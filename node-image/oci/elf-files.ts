// A program together with the shared libraries it needs, as the dynamic linker of this machine
// finds them: what a root file system without a distribution must hold.
import { execFileSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TarEntry } from './tar.ts';

/** Parts of glibc that it opens by name at run time, where this version still has them as files. */
const OPENED_BY_NAME = ['libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2'];

/**
 * The libraries of programs as entries under their own paths, each once. Statically linked programs need none.
 * libraryPath: folders to look in before the machine's own.
 */
export function sharedLibraries(programs: readonly string[], libraryPath: readonly string[] = []): TarEntry[] {
  const libraries = new Set<string>();
  for (const program of programs) {
    for (const library of linkedLibraries(program, libraryPath)) libraries.add(library);
  }
  const libc = [...libraries].find((library) => library.endsWith('/libc.so.6'));
  for (const name of libc === undefined ? [] : OPENED_BY_NAME) {
    const path = join(dirname(libc ?? ''), name);
    if (existsSync(path)) libraries.add(path);
  }
  return [...libraries].sort().map((path) => ({ path: path.slice(1), mode: 0o755, content: { file: realpathSync(path) } }));
}

function linkedLibraries(program: string, libraryPath: readonly string[]): string[] {
  const env = {
    PATH: '/usr/bin:/bin',
    LC_ALL: 'C',
    ...(libraryPath.length === 0 ? {} : { LD_LIBRARY_PATH: libraryPath.join(':') }),
  };
  let output: string;
  try {
    output = execFileSync('ldd', [program], { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    if (String((error as { stderr?: unknown }).stderr).includes('not a dynamic executable')) return [];
    throw new Error(`ldd ${program} failed: the image takes its libraries from a Linux machine with glibc`, { cause: error });
  }
  const missing = /^\s*(\S+) => not found$/m.exec(output);
  if (missing !== null) throw new Error(`${program} needs ${missing[1]}, which this machine doesn't have`);
  return [...output.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}
