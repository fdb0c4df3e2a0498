import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Five levels, each a project of its own, so that `npm test` can run them one after the other:
// pure (no processes, no ports), simulation (whole farms in virtual time), process (real farms on this machine), control-plane (a real API
// server) and cluster (a real node).
// The limits end what hangs; they are wide, since machines differ and are shared.
const level = (name: string, include: string[], testTimeoutMs: number, extra: object = {}) => ({
  test: {
    name,
    include,
    testTimeout: testTimeoutMs,
    hookTimeout: testTimeoutMs,
    expect: { poll: { timeout: 30_000 } },
    ...extra,
  },
});

export default defineConfig({
  test: {
    projects: [
      level('pure', ['test/**/*.test.ts'], 90_000, {
        exclude: [
          'test/**/*.simulation.test.ts',
          'test/**/*.process.test.ts',
          'test/**/*.control-plane.test.ts',
          'test/**/*.cluster.test.ts',
        ],
      }),
      level('simulation', ['test/**/*.simulation.test.ts'], 2_400_000, {
        maxConcurrency: Math.min(4, availableParallelism()),
      }),
      level('process', ['test/**/*.process.test.ts'], 120_000),
      level('control-plane', ['test/**/*.control-plane.test.ts'], 300_000, {
        fileParallelism: false,
        globalSetup: ['test/support/prepare-machine.ts'],
      }),
      level('cluster', ['test/**/*.cluster.test.ts'], 600_000, {
        fileParallelism: false,
        // With --context there is no local cluster to test.
        ...(process.env['STORJ_TEST_CONTEXT'] === undefined
          ? { globalSetup: ['test/support/prepare-machine.ts', 'test/support/cluster-teardown.ts'] }
          : { exclude: ['test/infra/local/**'] }),
      }),
    ],
  },
});
