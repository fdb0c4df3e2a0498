// Audits of real farmers: what they find, what it does to scores, pieces and the report.
import { afterEach, describe, expect, it } from 'vitest';
import { farmReportSchema } from '#node/interface/status.ts';
import { auditVerdict } from '#node/wire/audits.ts';
import type { AuditEvidence } from '#node/repairer/audit-farmer.ts';
import { RepairWorld, type RepairerHandle, type WrittenSegment } from '#test/node-image/repairer/support/repair-world.ts';
import { spoilReads } from '#test/support/test-store.ts';

let world: RepairWorld;
afterEach(async () => {
  await world.stop();
});

const farmerOf = (written: WrittenSegment, number: number) =>
  world.farm.farmers.find(({ keyPair }) => keyPair.publicKey === written.placement.farmers[number])!;
const said = (handle: RepairerHandle, farmer: string) =>
  farmReportSchema.parse(handle.repair.report()).farmers.find((one) => one.farmer === farmer)!;
const seen = (handle: RepairerHandle) => handle.audits.splice(0).map(({ outcome }) => outcome);

/** From now on the disk gives other bytes for what is stored now. */
function spoil(written: WrittenSegment, number: number): void {
  const { store } = farmerOf(written, number).farmer;
  const until = store.log.files.usedBytes();
  spoilReads(store, (ref, _, bytes) => {
    if (ref.offset < until) bytes[3]! ^= 1;
  });
}

describe('audits', () => {
  it('pass where pieces are what was signed, and say so in the report', async () => {
    world = await RepairWorld.start(6);
    const one = await world.write(700_000);
    const handle = world.startRepairer();
    await handle.repair.audit();
    // Before its logs are read nothing is known that could be asked for.
    expect(seen(handle)).toEqual([]);
    await handle.round();
    for (let i = 0; i < 3; i++) await handle.repair.audit();
    expect(seen(handle)).toEqual(Array.from({ length: 18 }, () => 'Passed'));
    const audits = { trust: 'Trusted', auditScore: 1, suspensionScore: 1, onlineScore: 1, audits: 3, failedAudits: 0 };
    expect(said(handle, one.placement.farmers[0]!).audits).toEqual(audits);
  });

  it('find a spoiled piece, keep what proves it, and have it rebuilt in place where there is no other', async () => {
    world = await RepairWorld.start(6);
    const one = await world.write(100);
    const handle = world.startRepairer();
    await handle.round();
    spoil(one, 2);
    const farmer = one.placement.farmers[2]!;
    await handle.repair.audit();
    expect(seen(handle).sort()).toEqual(['Failed', ...Array.from({ length: 5 }, () => 'Passed')]);
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 1 });
    expect(said(handle, farmer).audits).toMatchObject({ failedAudits: 1, trust: 'Trusted' });
    const [kept] = handle.index.audits.evidence();
    const { asked, word } = kept!.evidence as AuditEvidence;
    const answer = { word: new Uint8Array(Buffer.from(String(word), 'base64')), found: null };
    expect([kept!.farmer, asked.farmer]).toEqual([farmer, farmer]);
    // Signed on this question, on something: without the leaf it is no denial, with the right one it proves the lie.
    expect(auditVerdict(asked, answer)).toBe('Nonsense');
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0, repairedPieces: 1, state: 'Healthy' });
    await handle.repair.audit();
    expect(seen(handle)).toEqual(Array.from({ length: 6 }, () => 'Passed'));
    const piece = await world.readPiece(one, 2, farmer);
    expect(Buffer.compare(piece!, one.segment.pieces[2]!)).toBe(0);
    expect(handle.failures).toEqual([]);
  });

  it('treat a farmer that fails them as lost: rebuilt elsewhere, chosen for nothing, named in the report', async () => {
    world = await RepairWorld.start(7);
    const written: WrittenSegment[] = [];
    for (let i = 0; i < 3; i++) written.push(await world.write(100));
    const handle = world.startRepairer();
    await handle.round();
    const liar = written[0]!.placement.farmers[0]!;
    const held = written.filter(({ placement }) => placement.farmers.includes(liar)).length;
    handle.index.audits.saveScores(liar, {
      audit: [961, 40],
      unknown: [20, 0],
      windows: [],
      audits: 1000,
      failed: 40,
      suspendedMs: null,
      distrustedMs: null,
    });
    spoil(written[0]!, 0);
    await handle.repair.audit();
    expect(seen(handle)).toContain('Failed');
    expect(said(handle, liar)).toMatchObject({ state: 'Online', piecesToMove: held - 1, audits: { trust: 'Distrusted' } });
    await handle.round();
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0, repairedPieces: held });
    expect(said(handle, liar).piecesToMove).toBe(0);
    for (const id of handle.index.allSegments(0, 9)) {
      for (const holders of handle.index.segment(id)!.holders) expect(holders.filter((one) => one !== liar)).not.toEqual([]);
    }
  });

  it('leave a farmer distrusted whom the configuration knows to have failed, though the scores are gone', async () => {
    world = await RepairWorld.start(7);
    const one = await world.write(100);
    const liar = one.placement.farmers[0]!;
    const roster = world.farm
      .current()
      .roster.map((member) => (member.farmer === liar ? { ...member, distrusted: true } : member));
    world.farm.change({ roster });
    const handle = world.startRepairer();
    await handle.round();
    expect(handle.index.audits.scores(liar)).toBeNull();
    expect(said(handle, liar)).toMatchObject({ piecesToMove: 0, audits: { trust: 'Distrusted', failedAudits: 0 } });
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0, repairedPieces: 1 });
    const [id] = handle.index.allSegments(0, 9);
    expect(handle.index.segment(id!)!.holders[0]!.filter((farmer) => farmer !== liar)).toHaveLength(1);
  });

  it('count silence as absence and refusals as unknown, and blame no piece for either', async () => {
    world = await RepairWorld.start(6);
    await world.write(6_000_000);
    const handle = world.startRepairer();
    await handle.round();
    const [silent, busy] = world.farm.farmers.map(({ keyPair }) => keyPair.publicKey);
    world.farm.net.detach(silent!);
    world.farm.net.faultOf = ({ to, operation }) =>
      to === busy && operation === 'piece.audit' ? { kind: 'flip-answer', atByte: 10_000 } : undefined;
    await handle.repair.audit();
    expect(seen(handle).sort()).toEqual(['Offline', 'Passed', 'Passed', 'Passed', 'Passed', 'Unknown']);
    expect(said(handle, silent!).audits).toMatchObject({ audits: 0, suspensionScore: 1 });
    expect(said(handle, busy!).audits!.suspensionScore).toBeLessThan(1);
    expect(handle.repair.report()).toMatchObject({ segmentsQueued: 0 });
  });
});
