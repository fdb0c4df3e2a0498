// What the image's bundles carry along is memory in every process.
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { bundleApp } from '#node/oci/bundle-app.ts';

it('leaves out the models of client-node and the languages of zod, which nothing uses', async () => {
  const bundles = await bundleApp({ root: join(import.meta.dirname, '../../..'), entries: { operator: 'operator/main.ts' } });
  const text = Buffer.from(bundles.get('operator.mjs') ?? '').toString();
  // Not the text itself into an expectation: megabytes would be compared and printed.
  const found = ['loadFromCluster', 'ZodString', 'V1JSONSchemaProps', 'Entrada inv'].filter((word) => text.includes(word));
  expect(found).toEqual(['loadFromCluster', 'ZodString']);
});
