// Server-side apply in small, for the memory adapter: who set which field, merging by owner, removal of what a
// manager no longer sets. Pure.
import { itemsByKey } from './list-keys.ts';

/** Leaves by their path: what one write says. */
type Leaves = Map<string, unknown>;
type Path = readonly Step[];
/** A field, or an item of a list by its key. */
type Step = { field: string } | { item: string };

/** Manager → the paths that it set. */
export type Owners = Map<string, Set<string>>;

export interface FieldConflict {
  manager: string;
  field: string;
}

/** `live` with `applied` merged into it, and who owns what then. Conflicts are listed where not forced. */
export function applyFields(
  live: object,
  applied: object,
  owners: Owners,
  manager: string,
  force: boolean,
): { value: object; owners: Owners; conflicts: FieldConflict[] } {
  const said = leaves(applied);
  const there = leaves(live);
  const mine = owners.get(manager) ?? new Set();
  const next: Owners = new Map([...owners].map(([name, paths]) => [name, new Set(paths)]));
  const conflicts: FieldConflict[] = [];
  for (const [other, paths] of next) {
    if (other === manager) continue;
    for (const [path, value] of said) {
      if (!paths.has(path) || same(there.get(path), value)) continue;
      conflicts.push({ manager: other, field: path });
      paths.delete(path);
    }
  }
  if (conflicts.length > 0 && !force) return { value: live, owners, conflicts };
  const othersOwn = new Set([...next].flatMap(([name, paths]) => (name === manager ? [] : [...paths])));
  const gone = new Set([...mine].filter((path) => !said.has(path) && !othersOwn.has(path)));
  const value = without(merge(live, applied, []), [], gone) as object;
  next.set(manager, new Set(said.keys()));
  return { value, owners: next, conflicts: [] };
}

/** Who owns what after `manager` changed `before` into `after` by other means than apply. */
export function updateOwners(before: object, after: object, owners: Owners, manager: string): Owners {
  const was = leaves(before);
  const is = leaves(after);
  const changed = [...is].filter(([path, value]) => !same(was.get(path), value)).map(([path]) => path);
  const next: Owners = new Map();
  for (const [name, paths] of owners)
    next.set(name, new Set([...paths].filter((path) => is.has(path) && !changed.includes(path))));
  next.set(manager, new Set([...(next.get(manager) ?? []), ...changed]));
  return next;
}

export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Array.isArray(a) !== Array.isArray(b))
    return false;
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const names = Object.keys(x);
  return names.length === Object.keys(y).length && names.every((name) => name in y && same(x[name], y[name]));
}

function leaves(value: object): Leaves {
  const found: Leaves = new Map();
  walk(value, [], found);
  return found;
}

function walk(value: unknown, path: Path, found: Leaves): void {
  if (Array.isArray(value)) {
    const items = value.length > 0 ? keyed(path, value) : undefined;
    if (items === undefined) found.set(JSON.stringify(path), value);
    else for (const [item, child] of items) walk(child, [...path, { item }], found);
  } else if (typeof value === 'object' && value !== null && Object.keys(value).length > 0) {
    for (const [field, child] of Object.entries(value)) walk(child, [...path, { field }], found);
  } else found.set(JSON.stringify(path), value);
}

function keyed(path: Path, list: readonly unknown[]): Map<string, unknown> | undefined {
  const fields = path.map((step) => ('field' in step ? step.field : step.item));
  return itemsByKey(fields.slice(0, -1), fields.at(-1) ?? '', list);
}

function merge(live: unknown, applied: unknown, path: Path): unknown {
  if (Array.isArray(applied)) {
    const wanted = keyed(path, applied);
    const there = Array.isArray(live) ? keyed(path, live) : undefined;
    if (wanted === undefined || there === undefined) return applied;
    const all = new Map(there);
    for (const [item, value] of wanted) all.set(item, merge(there.get(item), value, [...path, { item }]));
    return [...all.values()];
  }
  if (typeof applied !== 'object' || applied === null) return applied;
  const base = typeof live === 'object' && live !== null && !Array.isArray(live) ? (live as Record<string, unknown>) : {};
  const result = { ...base };
  for (const [field, value] of Object.entries(applied)) result[field] = merge(base[field], value, [...path, { field }]);
  return result;
}

/** Without these leaves; what they leave empty goes too. In one pass, so that items keep their keys meanwhile. */
function without(value: unknown, path: Path, gone: ReadonlySet<string>): unknown {
  if (gone.has(JSON.stringify(path))) return undefined;
  if (Array.isArray(value)) {
    const items = value.length > 0 ? keyed(path, value) : undefined;
    if (items === undefined) return value;
    const left = [...items].flatMap(([item, child]) => without(child, [...path, { item }], gone) ?? []);
    return left.length === 0 ? undefined : left;
  }
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) return value;
  const left = Object.entries(value).flatMap(([field, child]) => {
    const kept = without(child, [...path, { field }], gone);
    return kept === undefined ? [] : [[field, kept] as const];
  });
  return left.length === 0 ? undefined : Object.fromEntries(left);
}
