// What a cluster has on this machine right now, as the kernel says; empty after it went.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface Leftovers {
  processes: number;
  mounts: number;
  loopDevices: number;
  cgroups: number;
  stateFolders: number;
}

export const NOTHING: Leftovers = { processes: 0, mounts: 0, loopDevices: 0, cgroups: 0, stateFolders: 0 };

export function leftovers(name: string): Leftovers {
  const state = join('/var/tmp/local-kube', name);
  const cgroup = `/local-kube-${name}`;
  const read = (file: string) => {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return ''; // it has just gone
    }
  };
  const processes = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  const lines = (text: string, part: string) => text.split('\n').filter((line) => line.includes(part)).length;
  const ofCluster = processes.filter((pid) => new RegExp(`:${cgroup}(/|$)`, 'm').test(read(`/proc/${pid}/cgroup`)));
  const backing = readdirSync('/sys/block').map((device) => read(`/sys/block/${device}/loop/backing_file`));
  const trees = ['', ...readdirSync('/sys/fs/cgroup')];
  return {
    processes: ofCluster.length,
    // Those of this machine, and those of the cluster's own processes.
    mounts: [join('/proc', 'self'), ...ofCluster.map((pid) => `/proc/${pid}`)].reduce(
      (sum, at) => sum + lines(read(`${at}/mountinfo`), state),
      0,
    ),
    loopDevices: backing.filter((file) => file.startsWith(`${state}/`)).length,
    cgroups: trees.filter((tree) => existsSync(join('/sys/fs/cgroup', tree, cgroup))).length,
    stateFolders: existsSync(state) ? 1 : 0,
  };
}
