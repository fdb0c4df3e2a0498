// The real CRDs of the Prometheus operator, from its Go module: what ServiceMonitor and PodMonitor are tested against.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '#infra/local/run-command.ts';

const MODULE = 'github.com/prometheus-operator/prometheus-operator@v0.92.1';

/** Files of the CRDs of these plurals: "servicemonitors", "podmonitors". */
export async function prometheusOperatorCrds(plurals: readonly string[]): Promise<string[]> {
  const { stdout } = await runCommand('go', ['mod', 'download', '-json', MODULE], {
    cwd: mkdtempSync(join(tmpdir(), 'go-')),
    env: { GOFLAGS: '-mod=mod' },
    timeoutMs: 300_000,
  });
  const { Dir } = JSON.parse(stdout) as { Dir: string };
  return plurals.map((plural) => join(Dir, 'example/prometheus-operator-crd', `monitoring.coreos.com_${plural}.yaml`));
}
