// Node keeps a joined signal with a listener for as long as it hasn't fired, and everything that the listener
// holds with it: the deadlines of a world that is over never fire, and would keep its disks. Import this before the
// product: joined signals here are held by those that they follow, and go with them.

const followers = new WeakMap<AbortSignal, Set<AbortController>>();

function followersOf(signal: AbortSignal): Set<AbortController> {
  const known = followers.get(signal);
  if (known) return known;
  const all = new Set<AbortController>();
  followers.set(signal, all);
  const follow = () => {
    for (const one of all) one.abort(signal.reason);
    all.clear();
  };
  signal.addEventListener('abort', follow, { once: true });
  return all;
}

AbortSignal.any = (signals) => {
  const all = [...signals];
  const aborted = all.find((signal) => signal.aborted);
  if (aborted) return AbortSignal.abort(aborted.reason);
  const joined = new AbortController();
  const followed = all.map(followersOf);
  for (const one of followed) one.add(joined);
  joined.signal.addEventListener('abort', () => followed.forEach((one) => one.delete(joined)), { once: true });
  return joined.signal;
};
