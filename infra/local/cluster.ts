// npm run cluster -- up|down|status|kubeconfig|list|kubectl …|helm …
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { clusterPaths } from './cluster-paths.ts';
import { readSettings } from './cluster-settings.ts';
import { hostConfig } from './config.ts';
import { ClusterError } from './errors.ts';
import { ensureCluster, findCluster, helmPath, removeClusterNamed, type LocalCluster } from './local-cluster.ts';

const USAGE = `A real one-node Kubernetes on this machine (Linux, root), with no way out of it.

  npm run cluster -- up [--control-plane] [--port P] [--forward F]… [--audit LEVEL] [--fresh]
  npm run cluster -- down [--keep]      ends it and removes everything of it; --keep leaves its data
  npm run cluster -- status             exit code 0 where it runs
  npm run cluster -- list               the clusters that run
  npm run cluster -- kubeconfig         prints the file's path: export KUBECONFIG=$(npm run -s cluster -- kubeconfig)
  npm run cluster -- kubectl …          npm run cluster -- helm …

  --name N         which cluster (default: default); several can run side by side. With kubectl and helm: before the word
  --port P         of the API server on 127.0.0.1 (default 6443)
  --forward F      a NodePort (30900), or 127.0.0.1:30900=10.250.0.1:30900
  --audit LEVEL    Metadata, Request or RequestResponse`;

const DEFAULT_PORT = 6443;

async function main(argv: readonly string[]): Promise<number> {
  const passThrough = argv.findIndex((word) => word === 'kubectl' || word === 'helm');
  const own = passThrough < 0 ? argv : argv.slice(0, passThrough + 1);
  const { values, positionals } = parseArgs({
    args: [...own],
    allowPositionals: true,
    options: {
      name: { type: 'string', default: 'default' },
      'control-plane': { type: 'boolean' },
      port: { type: 'string' },
      forward: { type: 'string', multiple: true },
      audit: { type: 'string' },
      fresh: { type: 'boolean' },
      keep: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const [verb] = positionals;
  if (values.help === true || verb === undefined) {
    console.log(USAGE);
    return values.help === true ? 0 : 64;
  }
  switch (verb) {
    case 'up':
      return await up(values.name, values);
    case 'down':
      console.log(
        (await removeClusterNamed(values.name, { keepData: values.keep === true }))
          ? `"${values.name}" is down`
          : `there is no "${values.name}"`,
      );
      return 0;
    case 'status':
      return await status(values.name);
    case 'list':
      for (const name of await running()) console.log(name);
      return 0;
    case 'kubeconfig':
      console.log((await existing(values.name)).kubeconfigPath);
      return 0;
    case 'kubectl':
    case 'helm':
      return await tool(verb, values.name, argv.slice(passThrough + 1));
    default:
      console.error(`no such command: ${verb}\n\n${USAGE}`);
      return 64;
  }
}

async function up(
  name: string,
  values: {
    'control-plane'?: boolean | undefined;
    port?: string | undefined;
    forward?: string[] | undefined;
    audit?: string | undefined;
    fresh?: boolean | undefined;
  },
): Promise<number> {
  const began = performance.now();
  // A cluster that runs, or whose data was kept, has a port already.
  const known = values.fresh !== true && readSettings(clusterPaths(name, hostConfig()).settings) !== undefined;
  const port = values.port === undefined ? (known ? undefined : DEFAULT_PORT) : Number(values.port);
  const cluster = await ensureCluster({
    name,
    ...(values['control-plane'] === true ? { mode: 'control-plane' as const } : {}),
    ...(port === undefined ? {} : { port }),
    ...(values.forward === undefined ? {} : { forwards: values.forward }),
    ...(values.audit === undefined ? {} : { audit: auditLevel(values.audit) }),
    ...(values.fresh === true ? { fresh: true } : {}),
    onProgress: (line) => console.error(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)}s  ${line}`),
  });
  console.log(`KUBECONFIG=${cluster.kubeconfigPath}`);
  return 0;
}

function auditLevel(text: string): 'Metadata' | 'Request' | 'RequestResponse' {
  if (text === 'Metadata' || text === 'Request' || text === 'RequestResponse') return text;
  throw new ClusterError('BadName', `--audit ${text} isn't a level`, 'use Metadata, Request or RequestResponse');
}

async function status(name: string): Promise<number> {
  const cluster = await findCluster(name);
  if (cluster === undefined) {
    console.log(`"${name}" is down`);
    return 1;
  }
  console.log(`"${name}" is up: ${cluster.mode}, https://127.0.0.1:${cluster.port}, KUBECONFIG=${cluster.kubeconfigPath}`);
  try {
    console.log((await cluster.kubectl(['get', '--raw', '/readyz', '--request-timeout=5s'])).trim());
    if (cluster.mode === 'node')
      console.log((await cluster.kubectl(['get', 'nodes,pods', '-A', '--request-timeout=5s'])).trimEnd());
    return 0;
  } catch (error) {
    console.log(`but it doesn't answer: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

async function running(): Promise<string[]> {
  const { stateRoot } = hostConfig();
  const names = existsSync(stateRoot) ? readdirSync(stateRoot) : [];
  const found = await Promise.all(names.map(async (name) => ((await findCluster(name)) === undefined ? [] : [name])));
  return found.flat();
}

async function existing(name: string): Promise<LocalCluster> {
  const cluster = await findCluster(name);
  if (cluster !== undefined) return cluster;
  throw new ClusterError(
    'NoCluster',
    `no cluster "${name}" runs`,
    `start it: npm run cluster -- up${name === 'default' ? '' : ` --name ${name}`}`,
  );
}

/** kubectl and helm take over the terminal, so that exec, logs -f and port-forward work. */
async function tool(verb: 'kubectl' | 'helm', name: string, args: readonly string[]): Promise<number> {
  const host = hostConfig();
  const cluster = await existing(name);
  const program =
    verb === 'helm'
      ? [await helmPath((line) => console.error(line))]
      : [join(clusterPaths(name, host).binDir, 'kube'), 'kubectl'];
  const [command = '', ...first] = program;
  const child = spawn(command, [...first, '--kubeconfig', cluster.kubeconfigPath, ...args], {
    stdio: 'inherit',
    env: host.environment,
  });
  return await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof ClusterError) console.error(`${error.code}: ${error.message}`);
  else if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
    console.error(`${error.message}\n\n${USAGE}`);
  else console.error(error);
  process.exitCode = 1;
}
