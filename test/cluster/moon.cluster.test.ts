// The Moon test on a real node: ten thousand objects by S3; then operator, bridge and repairer are gone with
// their volumes, and an empty pod with the 24 words and nothing else lists, reads, writes and deletes; the same
// with f farmers lost as well; and when operator and bridge come back, with an empty disk, all of it is there.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { apply, farmUntil, healthy, killWithVolume, kubectl, ready, type Place } from '#infra/demo/farm-steps.ts';
import { s3ClientImage } from '#infra/images/client-images.ts';
import { inPod, startClientPod } from '#test/support/client-pod.ts';
import { bucket, emptyNamespace, farm, installedOperator, SYSTEM, type Installed } from '#test/support/installed-operator.ts';

const OBJECTS = 10_000;
const OPERATOR = 'app.kubernetes.io/component=operator';
const script = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8');
let installed: Installed;
let place: Place;

beforeAll(async () => {
  installed = await installedOperator('moon');
  place = installed.place('moon');
  await emptyNamespace(place);
}, 1_800_000);

const earth = async (...args: string[]) => JSON.parse(await inPod(place, 'earth', ['python3', '/client/moon-s3.py', ...args]));
const moon = async (...args: string[]) =>
  JSON.parse(await inPod(place, 'laptop', ['/usr/local/bin/node', '/client/moon.mjs', ...args])) as object;
/** After so many rounds on the Moon, in each of which 200 came and 50 went, of which every seventh was gone already. */
const expectedAfter = (rounds: number) => {
  const numbers = Array.from({ length: OBJECTS }, (_, number) => number).filter((number) => number % 7 !== 3);
  const objects = numbers.filter((number) => number >= rounds * 50).length + rounds * 200;
  return { objects, missing: [], undead: [], wrong: [] };
};

describe('on Earth', () => {
  it('ten thousand objects go in by S3, with versions and deletes', async () => {
    await apply(place, farm(place, 6));
    await apply(place, bucket(place, 'lunar'));
    await farmUntil(place, 'Ready and healthy', (one) => ready(one) && healthy(one));
    await kubectl(place, ['wait', 'storjbucket/lunar', '--for=condition=Ready', '--timeout=120s']);
    await startClientPod(place, {
      name: 'earth',
      image: await installed.cluster.provideImage(await s3ClientImage()),
      command: ['python3', '-c', 'import signal; signal.pause()'],
      secret: 'lunar-s3',
      files: { 'moon-s3.py': script('moon-s3.py') },
    });
    await earth('fill', String(OBJECTS));
  });
});

describe('on the Moon', () => {
  it('the words alone find everything, byte for byte, and write and delete more', async () => {
    await place.target.kubectl(['-n', SYSTEM, 'delete', 'deployment', '-l', OPERATOR, '--timeout=60s']);
    await kubectl(place, ['delete', 'statefulset/moon-bridge', 'deployment/moon-repairer', '--timeout=60s']);
    await kubectl(place, ['wait', 'pod/moon-bridge-0', '--for=delete', '--timeout=60s']);
    await kubectl(place, ['delete', 'pvc/data-moon-bridge-0', '--timeout=60s']);
    await startClientPod(place, {
      name: 'laptop',
      image: installed.cluster.image,
      command: ['/usr/local/bin/node', '-e', 'setInterval(() => {}, 60_000)'],
      secret: 'lunar-owner',
      env: [
        { name: 'STORJ_WORDS', valueFrom: { secretKeyRef: { name: 'lunar-owner', key: 'words' } } },
        { name: 'STORJ_FARMER', value: 'https://moon-farmers' },
        { name: 'BUCKET', value: 'lunar' },
      ],
      files: { 'moon.mjs': script('moon.mjs') },
    });
    expect(await moon('check', String(OBJECTS), '0')).toEqual(expectedAfter(0));
    await moon('write', '0');
    expect(await moon('check', String(OBJECTS), '1')).toEqual(expectedAfter(1));
  });

  it('also with f farmers lost', async () => {
    await Promise.all([1, 4].map((ordinal) => killWithVolume(place, `moon-farmer-main-${ordinal}`)));
    expect(await moon('check', String(OBJECTS), '1')).toEqual(expectedAfter(1));
    await moon('write', '1');
    expect(await moon('check', String(OBJECTS), '2')).toEqual(expectedAfter(2));
  });
});

describe('back on Earth', () => {
  it('operator and bridge begin with nothing and have all of it, and nothing that was deleted', async () => {
    installed = await installedOperator('moon');
    await farmUntil(place, 'Ready and healthy', (one) => ready(one) && healthy(one));
    await kubectl(place, ['wait', 'storjbucket/lunar', '--for=condition=Ready', '--timeout=120s']);
    expect(await earth('check', String(OBJECTS), '2')).toEqual(expectedAfter(2));
  });
});
