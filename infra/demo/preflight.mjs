// What `npm run demo` checks before anything is installed, in two seconds, with nothing but Node's own
// modules: can this machine host the demo, what will be installed and built, is that all right?
// Exit code 0: go on. 1: it can't, and the ways on are printed. 3: the user said no.
import { execFileSync } from 'node:child_process';
import { existsSync, statfsSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';

const args = process.argv.slice(2);
const PORTS = { 'the API server': 6443, S3: 30900 };
const CACHE = process.env.LOCAL_KUBE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'local-kube');
const STATE = '/var/tmp/local-kube/demo';
const GIB = 2 ** 30;

if (args.includes('--down') || args.includes('--help')) process.exit(0);
if (args.some((arg) => arg.startsWith('--context'))) process.exit(0); // an existing cluster: the demo itself checks it

const running = existsSync(join(STATE, 'box.pid'));
const built = existsSync(join(CACHE, 'bin/kube')) && existsSync(join(CACHE, 'bin/helm'));
const obstacles = [];
if (process.platform !== 'linux') obstacles.push(`this is ${process.platform}: the local cluster needs Linux`);
else {
  if (process.getuid?.() !== 0) obstacles.push('you are not root: the local cluster makes namespaces, mounts and cgroups');
  if (!has('apt-get')) obstacles.push('there is no apt-get: the cluster takes runc, nftables and others from Debian packages');
  if (!built && !has('go')) obstacles.push('there is no Go: Kubernetes is built from its Go modules (install Go 1.26 or newer)');
  const neededGiB = built ? 6 : 18;
  const freeGiB = Math.min(free('/var/tmp'), free(nearest(CACHE)));
  if (freeGiB < neededGiB)
    obstacles.push(`${freeGiB.toFixed(0)} GiB of disk are free, ${neededGiB} are needed (cache in ${CACHE}, state in ${STATE})`);
  if (!running) {
    for (const [what, port] of Object.entries(PORTS)) {
      if (await taken(port)) obstacles.push(`port ${port} on 127.0.0.1, for ${what}, is taken: end what listens there`);
    }
  }
}

if (obstacles.length > 0) {
  console.error(`The demo can't run here:\n${obstacles.map((text) => `  - ${text}`).join('\n')}

Three ways on:
  npm run farm                     the same farmers, bridge and repairer as processes on this machine:
                                   Linux or macOS, no root, S3 on a local port within seconds
  npm run demo -- --context NAME   the demo on a Kubernetes that your kubeconfig names (kubectl and helm 4 on
                                   the PATH; --registry HOST/PATH where its nodes can't be loaded with an image)
  a Linux VM with root and Go      then npm run demo`);
  process.exit(1);
}

if (!built || (!existsSync('/usr/sbin/runc') && !existsSync('/usr/bin/runc'))) {
  console.error(`This will, as root on this machine:
  - install Debian packages: runc, nftables, conntrack, xfsprogs, iproute2, python3 and what they need
  - build Kubernetes, etcd, containerd and helm from their Go modules into ${CACHE} (once: 8 to 15 minutes on two
    cores, about 8 GiB of disk with Go's own cache)
  - start a one-node cluster in a network namespace of its own, with no way out, under ${STATE}
\`npm run demo -- --down\` ends and removes the cluster; packages and the cache stay.`);
  if (process.stdin.isTTY && process.stdout.isTTY && !args.includes('--yes')) {
    const lines = createInterface({ input: process.stdin, output: process.stdout });
    const answer = await lines.question('Go on? [y/N] ');
    lines.close();
    if (!/^y(es)?$/i.test(answer.trim())) {
      console.error('Nothing was installed.');
      process.exit(3);
    }
  }
}

function has(command) {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function nearest(path) {
  let folder = path;
  while (!existsSync(folder)) folder = join(folder, '..');
  return folder;
}

function free(path) {
  const disk = statfsSync(path);
  return (disk.bavail * disk.bsize) / GIB;
}

function taken(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(true));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(false)));
  });
}
