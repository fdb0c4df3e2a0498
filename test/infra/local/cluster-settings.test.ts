import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clusterPaths } from '#infra/local/cluster-paths.ts';
import { differences, parseForward, type ClusterSettings } from '#infra/local/cluster-settings.ts';

const running: ClusterSettings = {
  mode: 'node',
  port: 6443,
  forwards: [],
  apiserverArgs: [],
  controllerManagerArgs: [],
  audit: 'None',
};

describe('a forward', () => {
  it('is a NodePort, or two addresses of which the first is of this machine alone', () => {
    expect(parseForward('30900')).toBe('127.0.0.1:30900=10.250.0.1:30900');
    expect(parseForward('127.0.0.1:80=10.244.0.7:8080')).toBe('127.0.0.1:80=10.244.0.7:8080');
  });

  it.each([
    '0.0.0.0:80=10.250.0.1:80',
    '192.168.1.2:80=10.250.0.1:80',
    '127.0.0.1:80',
    '0',
    '70000',
    '127.0.0.1:80=x:80',
    '127.0.0.1:80=1.2.3.4:80=5',
    '',
  ])('refuses %j', (text) => {
    expect(() => parseForward(text)).toThrow(/isn't a forward/);
  });
});

describe('settings', () => {
  it('differ only where a caller named something else', () => {
    expect(differences(running, {})).toEqual([]);
    expect(differences(running, { mode: 'node', forwards: [] })).toEqual([]);
    expect(differences(running, { port: 1, audit: 'Request' })).toEqual([
      'port is 6443, wanted 1',
      'audit is "None", wanted "Request"',
    ]);
  });
});

describe('a name', () => {
  const host = { cacheDir: '/cache', stateRoot: '/state', environment: {} };

  it('never leads out of the state folder', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '0', '-', '.', '/', ' ', '\n'), maxLength: 40 }), (name) => {
        let path: string;
        try {
          path = clusterPaths(name, host).stateDir;
        } catch {
          return;
        }
        expect(path).toMatch(/^\/state\/[a-z0-9][a-z0-9-]{0,29}$/);
      }),
    );
    expect(clusterPaths('dev', host).stateDir).toBe('/state/dev');
    for (const bad of ['', '..', 'A', '-a', 'a-', 'a'.repeat(31)])
      expect(() => clusterPaths(bad, host)).toThrow(/can't name a cluster/);
  });
});
