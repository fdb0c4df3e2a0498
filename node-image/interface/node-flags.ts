// Flags of Node for each role, in one place: for the local farm's processes and the operator's pods.
// A small semi-space keeps an idle farmer tens of megabytes smaller.
export function nodeFlags(role: 'farmer' | 'bridge' | 'repairer'): string[] {
  const semiSpaceMb = role === 'bridge' ? 16 : 2;
  return [`--max-semi-space-size=${semiSpaceMb}`, '--disable-warning=ExperimentalWarning'];
}
