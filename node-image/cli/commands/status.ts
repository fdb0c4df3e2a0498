// storj status
import type { Command } from './command.ts';
import { sizeText, timeText } from './output.ts';

export const status: Command = {
  name: 'status',
  usage: 'status',
  summary: 'Shows the farm, the account, its buckets and who may write',
  details: [],
  options: {},
  takes: [0, 0],
  async run({ out, open }) {
    const storj = await open();
    const found = await storj.status();
    const { farm, buckets, devices, owner } = found;
    const up = farm.members.filter(({ answersMs }) => answersMs !== null).length;
    const lines = [
      `farm     ${up} of ${farm.members.length} farmers answer; a write survives the loss of ${farm.f}`,
      ...farm.members.map(
        ({ url, peerId, state, answersMs }) =>
          `         ${answersMs === null ? 'silent' : `${answersMs} ms`.padStart(6)}  ${state.padEnd(7)}  ${url}#${peerId}`,
      ),
      `account  ${owner}`,
      ...buckets.map(
        ({ name, objects, sizeBytes, logs }) =>
          `bucket   ${name}: ${objects} objects, ${sizeText(sizeBytes)}; ${logs.answering} of ${logs.replicas} log replicas answer, margin ${logs.margin}`,
      ),
      ...devices.map(
        ({ key, role, isThis, sinceMs }) =>
          `${role.padEnd(8)} ${key.slice(0, 16)}… since ${timeText(sinceMs)}${isThis ? ' (this device)' : ''}`,
      ),
    ];
    out.say(found, lines.join('\n'));
  },
};
