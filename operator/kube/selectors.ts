// Label and field selectors as the API server reads them; for the memory adapter.
import type { Selection } from './client.ts';
import type { KubeObject } from './resources.ts';

/** Whether the object is in the selection. Fails with TypeError on a selector that isn't one. */
export function selects(selection: Selection, object: KubeObject): boolean {
  if (selection.namespace !== undefined && object.metadata.namespace !== selection.namespace) return false;
  const labels = object.metadata.labels ?? {};
  const byLabel = terms(selection.labelSelector).every((term) => labelHolds(term, labels));
  return byLabel && terms(selection.fieldSelector).every((term) => fieldHolds(term, object));
}

/** Parts between commas that aren't inside brackets. */
function terms(selector = ''): string[] {
  return selector
    .split(/,(?![^(]*\))/)
    .map((term) => term.trim())
    .filter((term) => term !== '');
}

function labelHolds(term: string, labels: Record<string, string>): boolean {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term);
  if (set !== null) {
    const [, name = '', operator, list = ''] = set;
    const value = labels[name];
    const listed = value !== undefined && list.split(',').some((item) => item.trim() === value);
    return listed === (operator === 'in');
  }
  const equality = /^([^=!]+?)\s*(==|=|!=)\s*(\S*)$/.exec(term);
  if (equality !== null) return (labels[equality[1] ?? ''] === equality[3]) === (equality[2] !== '!=');
  if (!/^!?[\w./-]+$/.test(term)) throw new TypeError(`${term} isn't a label selector.`);
  return term.startsWith('!') ? !(term.slice(1) in labels) : term in labels;
}

function fieldHolds(term: string, object: KubeObject): boolean {
  const match = /^([\w.]+)(==|=|!=)(.*)$/.exec(term);
  if (match === null) throw new TypeError(`${term} isn't a field selector.`);
  const [, path = '', operator, wanted] = match;
  let value: unknown = object;
  for (const field of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[field];
  const text = value === undefined || value === null ? '' : String(value as string | number | boolean);
  return (text === wanted) === (operator !== '!=');
}
