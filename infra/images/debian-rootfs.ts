// A root file system from Debian packages, without installing anything: apt names and fetches the
// packages as for an empty machine, dpkg-deb unpacks them.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClusterError } from '#infra/local/errors.ts';
import { runCommand, type CommandFailedError } from '#infra/local/run-command.ts';

/** Unpacks the packages and all that they depend on into folder/root and returns that path. */
export async function debianRootfs(packages: readonly string[], folder: string): Promise<string> {
  if (!existsSync('/usr/bin/apt-get')) {
    throw new ClusterError(
      'CommandsMissing',
      'this image is made of Debian packages, and there is no apt-get',
      'build it on Debian or Ubuntu',
    );
  }
  const archives = join(folder, 'archives');
  mkdirSync(join(archives, 'partial'), { recursive: true });
  const status = join(folder, 'status');
  writeFileSync(status, ''); // nothing is installed yet, so dependencies are fetched too
  const settings = {
    'Dir::State::status': status,
    'Dir::Cache': folder,
    'Dir::Cache::archives': archives,
    'Debug::NoLocking': '1',
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': '',
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const download = () =>
    runCommand('apt-get', [...options, '-y', '-q', '--download-only', 'install', ...packages], {
      timeoutMs: 600_000,
      env: { LC_ALL: 'C' },
    });
  try {
    await download();
  } catch (error) {
    if (process.getuid?.() !== 0)
      throw new ClusterError('CommandsMissing', (error as CommandFailedError).message, 'as root: apt-get update', {
        cause: error,
      });
    await runCommand('apt-get', ['update', '-q'], { timeoutMs: 300_000 }); // package lists are old or empty
    await download();
  }
  const root = join(folder, 'root');
  mkdirSync(root, { recursive: true });
  // base-files first: on newer Debians it holds the links that the other packages unpack through.
  const files = readdirSync(archives).filter((name) => name.endsWith('.deb'));
  for (const file of files.sort(
    (a, b) => Number(b.startsWith('base-files')) - Number(a.startsWith('base-files')) || (a < b ? -1 : 1),
  )) {
    await runCommand('dpkg-deb', ['--extract', join(archives, file), root]);
  }
  return root;
}
