// Before the levels that need a cluster: its binaries, which no test's limit could wait for where they are missing.
import { prepareMachine } from '#infra/local/local-cluster.ts';

export async function setup(): Promise<void> {
  await prepareMachine('node', (line) => console.log(`[cluster] ${line}`));
}
