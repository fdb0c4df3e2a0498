// Loaded before everything else (node --import) with SIM_MUTATION: plants that one bug in the source as it is read.
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MUTATIONS } from './mutations.ts';

const mutation = MUTATIONS.find(({ name }) => name === process.env['SIM_MUTATION']);
if (!mutation) throw new Error(`There is no mutation "${process.env['SIM_MUTATION']}".`);

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    if (!url.startsWith('file:') || !fileURLToPath(url).endsWith(`/${mutation.file}`)) return loaded;
    const source = Buffer.from(loaded.source as Uint8Array).toString();
    const parts = source.split(mutation.find);
    if (parts.length !== 2) throw new Error(`"${mutation.name}": its text occurs ${parts.length - 1} times in ${mutation.file}.`);
    return { ...loaded, source: parts.join(mutation.replace) };
  },
});
