import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MUTATIONS } from './mutations.ts';

describe('planted bugs', () => {
  it.each(MUTATIONS)('$name: its text occurs once', ({ file, find }) => {
    const source = readFileSync(join(import.meta.dirname, '../..', file), 'utf8');
    expect(source.split(find)).toHaveLength(2);
  });
});
