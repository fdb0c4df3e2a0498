// Who answers, who is silent, who is gone. Silence counts only while somebody listens: a repairer that
// was stopped, asleep or cut off for an hour has not heard an hour of silence.
import { domainSizes } from '#node/core/spread.ts';
import type { FarmerState, FarmSize } from '#node/core/segment-health.ts';
import type { FarmConfig, RosterMember } from '#node/interface/config.ts';
import type { PublicKey } from '#node/wire/types.ts';

/** A farmer that doesn't answer for this long is offline. */
export const OFFLINE_AFTER_MS = 60_000;

export interface Contact {
  /** When it last answered; 0 = never since this process started. */
  lastSeenMs: number;
  /** How long it has been silent while it was asked. */
  silentMs: number;
  /** It answered the last question. */
  answers: boolean;
}

export interface WatchLimits {
  offlineAfterMs: number;
  lostAfterMs: number;
}

/** Pure: what the roster and the silence make of a farmer. Whom no roster names is lost. */
function farmerState(member: RosterMember | undefined, contact: Contact | undefined, limits: WatchLimits): FarmerState {
  if (!member || member.state === 'Lost') return 'Lost';
  const silentMs = contact?.silentMs ?? 0;
  if (silentMs >= limits.lostAfterMs) return 'Lost';
  if (member.state === 'Leaving') return 'Leaving';
  return silentMs >= limits.offlineAfterMs ? 'Offline' : 'Online';
}

/** Contacts of all farmers of the roster, and the states that follow. One entry for each farmer, no more. */
export class FarmerWatch {
  readonly #contacts = new Map<PublicKey, Contact>();
  #roster = new Map<PublicKey, RosterMember>();
  readonly #limits: WatchLimits;
  /** Counted when asked for; null after a change. */
  #size: FarmSize | null = null;
  #distrusted: ReadonlySet<PublicKey> = new Set();

  constructor(offlineAfterMs: number) {
    this.#limits = { offlineAfterMs, lostAfterMs: Infinity };
  }

  /** A new configuration: farmers that it doesn't name are forgotten (and lost). */
  configure(config: FarmConfig): void {
    this.#size = null;
    this.#limits.lostAfterMs = config.lostAfterMs;
    this.#roster = new Map(config.roster.map((member) => [member.farmer, member]));
    for (const farmer of this.#contacts.keys()) if (!this.#roster.has(farmer)) this.#contacts.delete(farmer);
  }

  heard(farmer: PublicKey, nowMs: number): void {
    if (!this.#roster.has(farmer)) return;
    this.#size = null;
    this.#contacts.set(farmer, { lastSeenMs: nowMs, silentMs: 0, answers: true });
  }

  /** It was asked and didn't answer; `listenedMs` since it was asked before (at most what one round takes). */
  silent(farmer: PublicKey, listenedMs: number): void {
    if (!this.#roster.has(farmer)) return;
    this.#size = null;
    const before = this.#contacts.get(farmer) ?? { lastSeenMs: 0, silentMs: 0, answers: false };
    this.#contacts.set(farmer, { ...before, silentMs: before.silentMs + listenedMs, answers: false });
  }

  member(farmer: PublicKey): RosterMember | undefined {
    return this.#roster.get(farmer);
  }
  members(): RosterMember[] {
    return [...this.#roster.values()];
  }
  contact(farmer: PublicKey): Contact | undefined {
    return this.#contacts.get(farmer);
  }
  answers(farmer: PublicKey): boolean {
    return this.#roster.get(farmer)?.state !== 'Lost' && (this.#contacts.get(farmer)?.answers ?? false);
  }
  /** By roster and silence alone. */
  presence(farmer: PublicKey): FarmerState {
    return farmerState(this.#roster.get(farmer), this.#contacts.get(farmer), this.#limits);
  }
  /** What its pieces are worth: a farmer that failed its audits counts as lost, though it may be there. */
  state(farmer: PublicKey): FarmerState {
    return this.#distrusted.has(farmer) ? 'Lost' : this.presence(farmer);
  }
  distrust(farmers: Iterable<PublicKey>): void {
    this.#distrusted = new Set(farmers);
    this.#size = null;
  }

  /** Farmers that may hold pieces for good, and their failure domains. */
  size(): FarmSize {
    if (this.#size) return this.#size;
    const active = this.members().filter(({ farmer }) => ['Online', 'Offline'].includes(this.state(farmer)));
    const of = (farmer: PublicKey): string | undefined => this.#roster.get(farmer)?.domain;
    this.#size = { activeFarmers: active.length, domains: { of, sizes: domainSizes(active) } };
    return this.#size;
  }
}
