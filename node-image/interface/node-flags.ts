// Flags of Node for each role, in one place: for the local farm's processes, the operator's pods, and the command (those
// of a bridge, measured alike: a quarter less CPU for put and get).
// A small semi-space keeps an idle farmer tens of megabytes smaller, and frees the buffers of transfers early: a bridge
// with 16 MiB takes a third more CPU for a get.
// Buffers count against the limit of the old space until a collection of the young one frees them, which is after
// twice the semi-space of them. Where the limit is nearer than that, V8 collects everything again and again instead,
// at twice the CPU of the work itself: so it starts well above what a node holds.
export function nodeFlags(role: 'farmer' | 'bridge' | 'repairer'): string[] {
  const [semiSpaceMb, oldSpaceMb] = role === 'bridge' ? [4, 128] : [2, 64];
  return [
    `--max-semi-space-size=${semiSpaceMb}`,
    `--initial-old-space-size=${oldSpaceMb}`,
    '--disable-warning=ExperimentalWarning',
  ];
}
