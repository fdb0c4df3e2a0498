// storj restore: an empty machine, the 24 words and one farmer's address.
import { toHex } from '#node/core/ids.ts';
import { enrolDevice, openStorj } from '#node/device/open-storj.ts';
import { StorjError } from '#node/device/storj-error.ts';
import { farmersFrom, wordsFrom } from './access.ts';
import { UsageError, type Command } from './command.ts';
import { configFolder, loadConfig, saveConfig } from './device-config.ts';
import { sizeText } from './output.ts';

export const restore: Command = {
  name: 'restore',
  usage: 'restore [--force]',
  summary: 'Makes this machine a device of the account: finds everything from the 24 words and one farmer',
  details: [
    '',
    '  --force   also where this machine is a device of another account already',
    'The words are not kept: the device gets a key of its own (in --config, readable by you alone) that may read and',
    'write. From then on no words and no address are needed here.',
  ],
  options: { force: { type: 'boolean' } },
  takes: [0, 0],
  async run(context) {
    const { out, flags, signal } = context;
    const folder = configFolder(context, flags);
    const words = await wordsFrom(context, flags);
    if (words === null) throw new UsageError('Give the 24 words with --words-file FILE (- = standard input) or STORJ_WORDS.');
    const before = await loadConfig(folder);
    const farmers = farmersFrom(context, flags);
    if (farmers.length === 0) throw new UsageError('Name one farmer: --farmer https://host:port#PEER_ID, or STORJ_FARMER.');
    const storj = await openStorj({ words, farmers, signal });
    try {
      if (before !== null && before.owner !== storj.owner && flags['force'] !== true) {
        throw new StorjError(
          'AlreadyExists',
          `${folder} belongs to another account: choose another with --config, or add --force.`,
        );
      }
      const { buckets } = await storj.status();
      const farm = storj.farm();
      const isKnown = before?.owner === storj.owner;
      const seed = isKnown ? before.deviceSeed : toHex((await enrolDevice({ words, farmers, signal })).seed);
      const file = await saveConfig(folder, {
        format: 1,
        owner: storj.owner,
        deviceSeed: seed,
        farm: farm.controlKey,
        farmers: farm.farmers,
      });
      const lines = buckets.map(({ name, objects, sizeBytes }) => `  ${name}: ${objects} objects, ${sizeText(sizeBytes)}`);
      out.say(
        {
          owner: storj.owner,
          buckets: buckets.map(({ name, objects, sizeBytes }) => ({ name, objects, sizeBytes })),
          config: file,
        },
        `account ${storj.owner}\n${lines.length > 0 ? lines.join('\n') : '  no buckets yet'}\nThis machine is a device of it now (${file}). Try: storj ls`,
      );
    } finally {
      await storj.close();
    }
  },
};
