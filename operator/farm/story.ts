// Pure: the events that tell what happened, from what was published and said before to what is now.
import type { Story } from '#operator/kube/events.ts';
import type { RosterMember } from '#node/interface/config.ts';
import type { Condition, Verdict } from '#operator/conditions.ts';
import { transitions } from '#operator/conditions.ts';

/** One event for each farmer whose place in the roster changed. */
export function rosterStories(before: readonly RosterMember[], after: readonly RosterMember[]): Story[] {
  const old = new Map(before.map((member) => [member.farmer, member]));
  const stories = after.flatMap((member): Story[] => {
    const was = old.get(member.farmer)?.state;
    const { slot, state, peerId } = member;
    if (member.distrusted && !old.get(member.farmer)?.distrusted) {
      const note = `${slot} failed its audits (${peerId}): it gets nothing new, and its pieces are made anew on others.`;
      return [story('Warning', 'FarmerDistrusted', 'Avoid', note)];
    }
    if (was === state) return [];
    if (state === 'Lost') {
      return [
        story('Warning', 'FarmerLost', 'Replace', `${slot} lost its volume (${peerId}); its pieces are made anew on others.`),
      ];
    }
    if (state === 'Leaving') return [story('Normal', 'FarmerLeaving', 'Drain', `${slot} moves its data away before it goes.`)];
    if (was === 'Leaving') return [story('Normal', 'DrainCancelled', 'Drain', `${slot} stays.`)];
    return [story('Normal', 'FarmerJoined', 'FirstContact', `${slot} is ${peerId}.`)];
  });
  const now = new Set(after.map(({ farmer }) => farmer));
  const left = before
    .filter(({ farmer, state }) => state === 'Leaving' && !now.has(farmer))
    .map(({ slot }) => story('Normal', 'FarmerLeft', 'Drain', `${slot} left; everything that it held has other holders.`));
  return [...stories, ...left];
}

const warnings = new Set(['Stalled']);
const told = new Set(['Ready', 'Stalled', 'DataHealthy', 'Draining', 'Rewriting', 'StorageResizing', 'Paused', 'RecoverySaved']);

/** One event for each condition that changed; not for those that only inform. */
export function conditionStories(
  before: readonly Partial<Condition>[] | undefined,
  after: readonly Partial<Condition>[],
): Story[] {
  return transitions(before, after)
    .filter(({ type }) => told.has(type))
    .map((one) => story(isWarning(one) ? 'Warning' : 'Normal', reasonOf(one), one.type, one.message));
}

function isWarning({ type, status, reason }: Verdict): boolean {
  if (warnings.has(type)) return status === 'True';
  if (type === 'Ready' || type === 'DataHealthy')
    return status === 'False' && reason !== 'Starting' && reason !== 'FarmersMissing';
  return reason === 'ResizeRefused';
}

function reasonOf({ type, status, reason }: Verdict): string {
  if (type === 'Ready') return status === 'True' ? 'Ready' : reason;
  return status === 'True' || type === 'DataHealthy' || type === 'RecoverySaved' ? reason : `${type}Over`;
}

function story(type: Story['type'], reason: string, action: string, note: string): Story {
  return { type, reason, action, note };
}
