// The sums of the index: what the report says of all segments and of each farmer.
import { fromHex } from '#node/core/ids.ts';
import { schemeText } from '#node/core/schemes.ts';
import { CROWDED_URGENCY, type HealthState } from '#node/core/segment-health.ts';
import type { PublicKey } from '#node/wire/types.ts';
import { num, schemeOf, type IndexDatabase } from './index-database.ts';

export const HEALTH_STATES: readonly HealthState[] = ['Healthy', 'Degraded', 'AtRisk', 'Unreadable'];

export interface IndexTotals {
  segments: number;
  queued: number;
  /** Of those: only because a failure domain has too many of their pieces. */
  crowded: number;
  byState: Record<HealthState, number>;
  /** Least margin over live segments; null without any. */
  margin: number | null;
  /** By `schemeText`. */
  byScheme: Record<string, number>;
}
export interface FarmerCounts {
  pieces: number;
  pieceBytes: number;
  piecesToMove: number;
}

export class FigureTable {
  readonly #db: IndexDatabase;

  constructor(db: IndexDatabase) {
    this.#db = db;
  }

  totals(): IndexTotals {
    const byState: Record<HealthState, number> = { Healthy: 0, Degraded: 0, AtRisk: 0, Unreadable: 0 };
    const byScheme: Record<string, number> = {};
    let segments = 0;
    let margin: number | null = null;
    const rows = this.#db.all(
      `SELECT state, required, repair, optimal, total, min(margin) AS margin, count(*) AS n FROM segments WHERE refs > 0
       GROUP BY state, required, repair, optimal, total`,
    );
    for (const row of rows) {
      const n = num(row['n']);
      segments += n;
      byState[HEALTH_STATES[num(row['state'])]!] += n;
      if (num(row['required']) > 0) {
        const name = schemeText(schemeOf(row));
        byScheme[name] = (byScheme[name] ?? 0) + n;
      }
      margin = Math.min(margin ?? Infinity, num(row['margin']));
    }
    const queued = num(this.#db.get('SELECT count(*) AS n FROM segments WHERE queued = 1')!['n']);
    const crowded = num(
      this.#db.get(
        'SELECT count(*) AS n FROM segments WHERE queued = 1 AND urgency >= ? AND urgency < ?',
        CROWDED_URGENCY.from,
        CROWDED_URGENCY.below,
      )!['n'],
    );
    return { segments, queued, crowded, byState, margin, byScheme };
  }

  ofFarmer(farmer: PublicKey): FarmerCounts {
    const row = this.#db.get('SELECT farmer_no, pieces, piece_bytes FROM farmers WHERE farmer = ?', fromHex(farmer));
    if (!row) return { pieces: 0, pieceBytes: 0, piecesToMove: 0 };
    const toMove = this.#db.get('SELECT count(*) AS n FROM pieces WHERE to_move = 1 AND farmer_no = ?', row['farmer_no']!)!;
    return { pieces: num(row['pieces']), pieceBytes: num(row['piece_bytes']), piecesToMove: num(toMove['n']) };
  }
}
