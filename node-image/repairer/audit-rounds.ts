// Audits of all farmers in turn, and what they make of each: scores, evidence, suspect pieces, trust.
import { newScores, scored, trustFacts, type TrustFacts } from '#node/core/audit-scores.ts';
import type { LogLink } from '#node/log/log-link.ts';
import type { FarmerAddress } from '#node/net/net.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { overAll } from './ask-farmers.ts';
import { auditFarmer, type Audit } from './audit-farmer.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { FarmerWatch } from './farmer-watch.ts';
import type { Judge } from './judge.ts';
import type { SegmentIndex } from './segment-index.ts';

const AUDITS_AT_ONCE = 8;

interface AuditRoundsInput {
  link: LogLink;
  index: SegmentIndex;
  watch: FarmerWatch;
  judge: Judge;
  bandwidth: Bandwidth;
  /** Whose logs are read. */
  owners: () => Iterable<PublicKey>;
  onAudited: (farmer: PublicKey, audit: Audit) => void;
  signal: AbortSignal;
}

export class AuditRounds {
  readonly #input: AuditRoundsInput;

  constructor(input: AuditRoundsInput) {
    this.#input = input;
  }

  /** One leaf of one piece of each. A failed one makes that piece suspect, and repair does the rest. */
  async round(farmers: readonly FarmerAddress[]): Promise<void> {
    await overAll(farmers, AUDITS_AT_ONCE, (farmer) => this.#auditOne(farmer));
    this.followTrust();
  }

  /** The scores are lost with the index. That a farmer has failed isn't: the farm's configuration keeps it. */
  trustOf(farmer: PublicKey): TrustFacts {
    const { index, link, watch } = this.#input;
    const facts = trustFacts(index.audits.scores(farmer) ?? newScores(), link.runtime.nowMs());
    return watch.member(farmer)?.distrusted ? { ...facts, trust: 'Distrusted' } : facts;
  }

  /** Scores or configuration have changed: what is on farmers that aren't trusted counts as lost. */
  followTrust(): void {
    const { watch } = this.#input;
    const members = watch.members().map(({ farmer }) => farmer);
    watch.distrust(members.filter((farmer) => this.trustOf(farmer).trust === 'Distrusted'));
  }

  async #auditOne({ farmer, url }: FarmerAddress): Promise<void> {
    const { link, index, judge, bandwidth, onAudited, signal } = this.#input;
    const owner = this.#anyOwnerOf(farmer);
    if (owner === null) return;
    const spend = (bytes: number, ends: AbortSignal) => bandwidth.take(bytes, ends);
    const audit = await auditFarmer({ link, index, farmer: { farmer, url }, owner, spend, signal });
    if (!audit) return;
    const { outcome, piece, verdict, evidence } = audit;
    const nowMs = link.runtime.nowMs();
    index.transaction(() => {
      index.audits.saveScores(farmer, scored(index.audits.scores(farmer) ?? newScores(), outcome, nowMs));
      if (evidence)
        index.audits.keepEvidence(farmer, nowMs, { ...evidence, word: Buffer.from(evidence.word).toString('base64') });
      if (outcome !== 'Failed') return;
      index.setSuspect(piece.segment, piece.pieceNumber, farmer, verdict === 'Wrong' ? 'WrongBytes' : 'Missing');
      judge.judgeAll([piece.segment]);
    });
    onAudited(farmer, audit);
  }

  /** One by chance, as often as the farmer should have pieces of it. */
  #anyOwnerOf(farmer: PublicKey): PublicKey | null {
    const { index, link, owners } = this.#input;
    const counts = [...owners()].map((owner) => ({ owner, pieces: index.inventory.count(owner, farmer) }));
    const all = counts.reduce((sum, { pieces }) => sum + pieces, 0);
    let at = all * (Buffer.from(link.runtime.random(4)).readUInt32BE() / 2 ** 32);
    for (const { owner, pieces } of counts) if ((at -= pieces) < 0) return owner;
    return null;
  }
}
