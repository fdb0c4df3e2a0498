import { describe, expect, it } from 'vitest';
import type { RosterMember } from '#node/interface/config.ts';
import type { FarmReport } from '#node/interface/status.ts';
import type { PodFact } from '#operator/farm/observed.ts';
import { nextRoster, type RosterInput } from '#operator/farm/roster.ts';
import { volume } from './facts.ts';

const pod = (ordinal: number, more: Partial<PodFact> = {}): PodFact => ({
  name: `demo-farmer-main-${ordinal}`,
  uid: `pod${ordinal}`,
  zone: 'main',
  ordinal,
  ip: '10.0.0.1',
  nodeName: `node${ordinal}`,
  isReady: true,
  isTerminating: false,
  revision: 'r',
  trouble: '',
  ...more,
});

function input(more: Partial<RosterInput> = {}): RosterInput {
  return {
    farm: { name: 'demo', namespace: 'farm' },
    previous: [],
    isNew: false,
    volumes: [volume(0), volume(1)],
    pods: [pod(0), pod(1)],
    contacts: new Map([0, 1].map((i) => [`pod${i}`, { farmer: `f${i}`, peerId: `p${i}` }])),
    hasZones: false,
    report: undefined,
    generation: 1,
    leaving: new Set(),
    gone: new Set(),
    membershipOf: (farmer) => `signed ${farmer}`,
    farmerOf: (peerId) => (peerId.startsWith('p') ? peerId.replace('p', 'f') : undefined),
    ...more,
  };
}

const states = (roster: RosterMember[]) => roster.map(({ farmer, state }) => `${farmer} ${state}`);
const met = nextRoster(input()).roster;

describe('the roster', () => {
  it('takes in who answers, with address, domain and membership', () => {
    expect(met[0]).toEqual({
      slot: 'demo-farmer-main-0',
      farmer: 'f0',
      peerId: 'p0',
      volumeUid: 'v0',
      zone: 'main',
      domain: 'node0',
      state: 'Active',
      url: 'https://demo-farmer-main-0.demo-farmers.farm.svc:4433',
      multiaddr: '/dns4/demo-farmer-main-0.demo-farmers.farm.svc/tcp/4001/p2p/p0',
      membership: 'signed f0',
    });
    expect(nextRoster(input({ hasZones: true })).roster[0]?.domain).toBe('main');
  });

  it('doesn’t change when nothing does, nor when pods are away', () => {
    expect(nextRoster(input({ previous: met, membershipOf: () => 'signed anew' })).roster).toEqual(met);
    expect(nextRoster(input({ previous: met, pods: [], contacts: new Map() })).roster).toEqual(met);
  });

  it('remembers for good who failed his audits, also without a report, and not his slot', () => {
    const report = { farmers: [{ farmer: 'f1', audits: { trust: 'Distrusted' } }] } as FarmReport;
    const failed = nextRoster(input({ previous: met, report })).roster;
    expect(failed.map(({ distrusted }) => distrusted)).toEqual([undefined, true]);
    expect(states(failed)).toEqual(['f0 Active', 'f1 Active']);
    expect(nextRoster(input({ previous: failed })).roster).toEqual(failed);
    expect(nextRoster(input({ previous: failed, pods: [], contacts: new Map() })).roster).toEqual(failed);
    const another = [volume(0), volume(1, { uid: 'new' })];
    const contacts = new Map([['pod1', { farmer: 'g1', peerId: 'q1' }]]);
    const replaced = nextRoster(input({ previous: failed, volumes: another, contacts })).roster;
    expect(replaced.map(({ farmer, distrusted }) => [farmer, distrusted])).toEqual([
      ['f0', undefined],
      ['f1', true],
      ['g1', undefined],
    ]);
  });

  it('loses who has lost his volume, at once', () => {
    expect(states(nextRoster(input({ previous: met, volumes: [volume(0)], pods: [pod(0)] })).roster)).toEqual([
      'f0 Active',
      'f1 Lost',
    ]);
    const another = [volume(0), volume(1, { uid: 'new' })];
    expect(states(nextRoster(input({ previous: met, volumes: another, contacts: new Map() })).roster)).toEqual([
      'f0 Active',
      'f1 Lost',
    ]);
  });

  it('loses who is answered for by another in his slot', () => {
    const contacts = new Map([['pod1', { farmer: 'g1', peerId: 'q1' }]]);
    expect(states(nextRoster(input({ previous: met, contacts })).roster)).toEqual(['f0 Active', 'f1 Lost', 'g1 Active']);
  });

  it('takes back a lost one that answers again', () => {
    const lost = nextRoster(input({ previous: met, volumes: [volume(0)], pods: [pod(0)] })).roster;
    const back = nextRoster(input({ previous: lost, volumes: [volume(0), volume(1, { uid: 'rebound' })] })).roster;
    expect(states(back)).toEqual(['f0 Active', 'f1 Active']);
    expect(back[1]?.volumeUid).toBe('rebound');
  });

  it('forgets a lost one only when a report that knows of it says that nothing is missing', () => {
    const lost = nextRoster(input({ previous: met, volumes: [volume(0)], pods: [pod(0)] })).roster;
    const now = (report: object) =>
      nextRoster(input({ previous: lost, volumes: [volume(0)], pods: [pod(0)], generation: 4, report: report as FarmReport }))
        .roster.length;
    const done = { generation: 4, state: 'Healthy', farmers: [{ farmer: 'f1', piecesToMove: 0, replicaSets: 0 }] };
    expect(now(done)).toBe(1);
    expect(now({ ...done, generation: 3 })).toBe(2);
    expect(now({ ...done, state: 'Degraded' })).toBe(2);
    expect(now({ ...done, farmers: [{ farmer: 'f1', piecesToMove: 1, replicaSets: 0 }] })).toBe(2);
  });

  it('never has one identity twice', () => {
    const contacts = new Map([
      ['pod0', { farmer: 'f0', peerId: 'p0' }],
      ['pod1', { farmer: 'f0', peerId: 'p0' }],
    ]);
    const answer = nextRoster(input({ contacts }));
    expect(states(answer.roster)).toEqual(['f0 Active']);
    expect(answer.duplicates).toEqual([{ slot: 'demo-farmer-main-1', farmer: 'f0' }]);
  });

  it('remembers from the labels of retained volumes, except those that were left with proof', () => {
    const volumes = [volume(0), volume(1, { isDrained: true }), volume(2, { peerId: '' }), volume(3, { peerId: 'unknown' })];
    expect(states(nextRoster(input({ isNew: true, volumes, pods: [], contacts: new Map() })).roster)).toEqual(['f0 Active']);
  });
});
