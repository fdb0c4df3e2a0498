import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newScores, scored, trustFacts, type AuditOutcome, type AuditScores } from '#node/core/audit-scores.ts';

const HOUR_MS = 3_600_000;
const START_MS = 1000 * 24 * HOUR_MS;
const after = (outcomes: AuditOutcome[], everyMs = HOUR_MS, from: AuditScores = newScores()) =>
  outcomes.reduce((scores, outcome, i) => scored(scores, outcome, START_MS + i * everyMs), from);
const times = (count: number, outcome: AuditOutcome) => Array.from({ length: count }, () => outcome);

describe('audit scores', () => {
  it('trust a new farmer, and one that always answers', () => {
    expect(trustFacts(newScores(), START_MS)).toMatchObject({
      trust: 'Trusted',
      auditScore: 1,
      suspensionScore: 1,
      onlineScore: 1,
    });
    expect(trustFacts(after(times(500, 'Passed')), START_MS)).toMatchObject({ trust: 'Trusted', audits: 500, failedAudits: 0 });
  });

  it('give a farmer up after some 40 failures in a row from full credit, as Storj V3 does, and for good', () => {
    const fails = (count: number) => trustFacts(after(times(count, 'Failed')), START_MS).trust;
    expect([fails(40), fails(41)]).toEqual(['Trusted', 'Distrusted']);
    const back = after(times(5000, 'Passed'), HOUR_MS, after(times(41, 'Failed')));
    expect(trustFacts(back, START_MS)).toMatchObject({ trust: 'Distrusted', failedAudits: 41 });
    expect(trustFacts(back, START_MS).auditScore).toBeGreaterThan(0.99);
  });

  it('stand a failure now and then, and not four in a hundred for long', () => {
    const mixed = (failEvery: number) =>
      Array.from({ length: 4000 }, (_, i): AuditOutcome => (i % failEvery === 0 ? 'Failed' : 'Passed'));
    expect(trustFacts(after(mixed(50)), START_MS).trust).toBe('Trusted');
    expect(trustFacts(after(mixed(20)), START_MS).trust).toBe('Distrusted');
  });

  it('suspend who is there and answers neither way, until it does', () => {
    const silent = after(times(10, 'Unknown'));
    expect(trustFacts(silent, START_MS)).toMatchObject({ trust: 'Suspended', auditScore: 1, audits: 0 });
    expect(trustFacts(after(times(20, 'Passed'), HOUR_MS, silent), START_MS).trust).toBe('Trusted');
    expect(trustFacts(after(times(9, 'Unknown')), START_MS).trust).toBe('Trusted');
    // Seven days of it are enough.
    const days = (count: number) => trustFacts(after(times(24 * count + 9, 'Unknown')), START_MS).trust;
    expect([days(7), days(8)]).toEqual(['Suspended', 'Distrusted']);
  });

  it('count absence in windows of 12 hours over 30 days, and only once so much is known', () => {
    const halfAway = Array.from({ length: 31 * 24 }, (_, i): AuditOutcome => (i % 2 === 0 ? 'Passed' : 'Offline'));
    const early = after(halfAway.slice(0, 10 * 24));
    expect(trustFacts(early, START_MS + 10 * 24 * HOUR_MS)).toMatchObject({ trust: 'Trusted', onlineScore: 0.5 });
    const late = after(halfAway);
    const now = START_MS + 31 * 24 * HOUR_MS;
    expect(trustFacts(late, now)).toMatchObject({ trust: 'Suspended', onlineScore: 0.5 });
    expect(late.windows.length).toBeLessThanOrEqual(61);
  });

  it('stay between 0 and 1, and never rise by a failure', () => {
    const outcome = fc.constantFrom<AuditOutcome>('Passed', 'Failed', 'Unknown', 'Offline');
    fc.assert(
      fc.property(fc.array(outcome, { maxLength: 60 }), (outcomes) => {
        const before = after(outcomes);
        const now = START_MS + 100 * HOUR_MS;
        const [facts, worse] = [trustFacts(before, now), trustFacts(scored(before, 'Failed', now), now)];
        for (const score of [facts.auditScore, facts.suspensionScore, facts.onlineScore]) {
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(1);
        }
        expect(worse.auditScore).toBeLessThan(facts.auditScore);
      }),
    );
  });
});
