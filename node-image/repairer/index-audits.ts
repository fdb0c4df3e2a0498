// The audits' part of the repairer's index: scores of farmers, and what proves their failures. Unlike the rest
// it can't be read again from the logs: a farmer of a lost index starts with full credit. Who failed for good doesn't:
// that is in the farm's configuration.
import type { AuditScores } from '#node/core/audit-scores.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { hex, num, type IndexDatabase } from './index-database.ts';
import type { IndexNumbers } from './index-numbers.ts';

/** Of all farmers together: about a megabyte. */
const MAX_EVIDENCE = 1000;

export class AuditTable {
  readonly #db: IndexDatabase;
  readonly #numbers: IndexNumbers;

  constructor(db: IndexDatabase, numbers: IndexNumbers) {
    this.#db = db;
    this.#numbers = numbers;
  }

  scores(farmer: PublicKey): AuditScores | null {
    const row = this.#db.get('SELECT scores FROM audit_scores WHERE farmer_no = ?', this.#numbers.farmer(farmer));
    return row ? (JSON.parse(String(row['scores'])) as AuditScores) : null;
  }
  saveScores(farmer: PublicKey, scores: AuditScores): void {
    const sql = 'INSERT OR REPLACE INTO audit_scores (farmer_no, scores) VALUES (?, ?)';
    this.#db.run(sql, this.#numbers.farmer(farmer), JSON.stringify(scores));
  }

  keepEvidence(farmer: PublicKey, atMs: number, evidence: unknown): void {
    const insert = 'INSERT INTO audit_evidence (at_ms, farmer_no, evidence) VALUES (?, ?, ?)';
    this.#db.run(insert, atMs, this.#numbers.farmer(farmer), JSON.stringify(evidence));
    const old = 'SELECT rowid FROM audit_evidence ORDER BY at_ms DESC LIMIT -1 OFFSET ?';
    this.#db.run(`DELETE FROM audit_evidence WHERE rowid IN (${old})`, MAX_EVIDENCE);
  }
  /** Newest first. */
  evidence(): { farmer: PublicKey; atMs: number; evidence: unknown }[] {
    return this.#db
      .all('SELECT farmer, at_ms, evidence FROM audit_evidence JOIN farmers USING (farmer_no) ORDER BY at_ms DESC')
      .map((row) => ({ farmer: hex(row['farmer']), atMs: num(row['at_ms']), evidence: JSON.parse(String(row['evidence'])) }));
  }
}
