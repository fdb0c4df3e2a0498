// Which lists of the API are maps in disguise: server-side apply merges those item by item, whoever added
// them, and replaces all others as a whole. The table has what the kinds of the operator use.

/** Field → what names an item; for builtin kinds and for our own. */
const keyFields = new Map<string, readonly string[]>([
  ['conditions', ['type']],
  ['containers', ['name']],
  ['env', ['name']],
  ['ephemeralContainers', ['name']],
  ['farmers', ['name']],
  ['imagePullSecrets', ['name']],
  ['initContainers', ['name']],
  ['ownerReferences', ['uid']],
  ['topologySpreadConstraints', ['topologyKey', 'whenUnsatisfiable']],
  ['volumeDevices', ['devicePath']],
  ['volumeMounts', ['mountPath']],
  ['volumes', ['name']],
  ['zones', ['name']],
]);

/** Lists of plain values that are sets. */
const sets = new Set(['finalizers']);

/** Where `ports` is a plain list after all. */
const plainPorts = new Set(['ingress', 'egress', 'endpoints']);

/**
 * What names an item of the list `field`, or undefined where the list is replaced as a whole. `path` are the fields
 * above it.
 */
function itemKey(path: readonly string[], field: string, item: unknown): string | undefined {
  if (sets.has(field)) return JSON.stringify(item);
  if (typeof item !== 'object' || item === null) return undefined;
  const values = item as Record<string, unknown>;
  const fields = field === 'ports' ? portFields(path, values) : keyFields.get(field);
  if (fields === undefined) return undefined;
  return JSON.stringify(fields.map((name) => values[name] ?? (name === 'protocol' ? 'TCP' : null)));
}

function portFields(path: readonly string[], port: Record<string, unknown>): readonly string[] | undefined {
  if (path.some((field) => plainPorts.has(field))) return undefined;
  if ('containerPort' in port) return ['containerPort', 'protocol'];
  return 'port' in port ? ['port', 'protocol'] : undefined;
}

/** The items by what names them; undefined where the list is replaced as a whole. */
export function itemsByKey(path: readonly string[], field: string, list: readonly unknown[]): Map<string, unknown> | undefined {
  const items = new Map<string, unknown>();
  for (const item of list) {
    const key = itemKey(path, field, item);
    if (key === undefined || items.has(key)) return undefined;
    items.set(key, item);
  }
  return items;
}
