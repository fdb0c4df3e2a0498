#!/usr/bin/env node
// Builds an OCI image archive without Docker: only node: modules and the system's tar and ldd.
//   image.mjs OUT.tar NAME [--elf SRC:DST] [--copy SRC:DST] [--link TARGET:DST] [--layer]
//             [--env K=V] [--user UID[:GID]] [--workdir DIR] [--port N] -- ENTRYPOINT...
// --elf copies a program and every shared library it needs; --layer starts another layer.
// Same input, same bytes: times, owners and order are fixed. Import the result with
//   ctr -n k8s.io images import OUT.tar
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const argv = process.argv.slice(2);
const end = argv.indexOf('--') < 0 ? argv.length : argv.indexOf('--');
const [out, name, ...options] = argv.slice(0, end);
if (!out || !name) throw new Error('usage: image.mjs OUT.tar NAME [options] -- ENTRYPOINT...');
const config = { Entrypoint: argv.slice(end + 1), Env: ['PATH=/usr/local/bin:/usr/bin:/bin'], WorkingDir: '/' };
const work = mkdtempSync(join(tmpdir(), 'image-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

const layers = [join(work, 'layer0')];
mkdirSync(layers[0]);
const inLayer = (path) => join(layers.at(-1), path);
const inImage = (path) => layers.some((layer) => existsSync(join(layer, path)));

function copy(source, target) {
  mkdirSync(dirname(inLayer(target)), { recursive: true });
  cpSync(source, inLayer(target), { recursive: true, dereference: true, mode: 0 });
}

function copyElf(source, target) {
  copy(source, target);
  for (const line of execFileSync('ldd', [source], { encoding: 'utf8' }).split('\n')) {
    const library = /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1];
    if (library && !inImage(library)) copy(realpathSync(library), library);
  }
}

for (let i = 0; i < options.length; i++) {
  const option = options[i];
  if (option === '--layer') {
    layers.push(join(work, `layer${layers.length}`));
    mkdirSync(layers.at(-1));
    continue;
  }
  const value = options[++i];
  const [source, target] = value.split(/:(?=\/)/);
  if (option === '--elf') copyElf(source, target);
  else if (option === '--copy') copy(source, target);
  else if (option === '--link') {
    mkdirSync(dirname(inLayer(target)), { recursive: true });
    symlinkSync(source, inLayer(target));
  } else if (option === '--env') config.Env.push(value);
  else if (option === '--user') config.User = value;
  else if (option === '--workdir') config.WorkingDir = value;
  else if (option === '--port') (config.ExposedPorts ??= {})[`${value}/tcp`] = {};
  else throw new Error(`unknown option ${option}`);
}

const oci = join(work, 'oci');
const blobs = join(oci, 'blobs', 'sha256');
mkdirSync(blobs, { recursive: true });
const tar = (file, folder) =>
  execFileSync('tar', [
    '--sort=name',
    '--mtime=@0',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mode=u+rwX,go+rX,go-w',
    '--format=pax',
    '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime',
    '-cf',
    file,
    '-C',
    folder,
    '.',
  ]);
function blob(mediaType, file) {
  const data = readFileSync(file);
  const hex = createHash('sha256').update(data).digest('hex');
  renameSync(file, join(blobs, hex));
  return { mediaType, digest: `sha256:${hex}`, size: data.length };
}
function json(mediaType, value) {
  const file = join(work, 'json');
  writeFileSync(file, JSON.stringify(value));
  return blob(mediaType, file);
}

const type = (kind) => `application/vnd.oci.image.${kind}`;
const layerBlobs = layers.map((folder) => {
  tar(`${folder}.tar`, folder);
  return blob(type('layer.v1.tar'), `${folder}.tar`);
});
const created = new Date(0).toISOString();
const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch];
const configBlob = json(type('config.v1+json'), {
  created,
  architecture,
  os: 'linux',
  config,
  rootfs: { type: 'layers', diff_ids: layerBlobs.map((b) => b.digest) },
  history: layerBlobs.map(() => ({ created, created_by: 'image.mjs' })),
});
const manifest = json(type('manifest.v1+json'), {
  schemaVersion: 2,
  mediaType: type('manifest.v1+json'),
  config: configBlob,
  layers: layerBlobs,
});
writeFileSync(join(oci, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
writeFileSync(
  join(oci, 'index.json'),
  JSON.stringify({
    schemaVersion: 2,
    mediaType: type('index.v1+json'),
    manifests: [
      {
        ...manifest,
        platform: { architecture, os: 'linux' },
        annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name.split(':').at(-1) },
      },
    ],
  }),
);
tar(`${resolve(out)}.new`, oci);
renameSync(`${resolve(out)}.new`, resolve(out));
console.log(`${name} ${manifest.digest}`);
