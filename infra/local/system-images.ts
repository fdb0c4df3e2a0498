// The two images that Kubernetes itself needs here, each one static binary: the pod sandbox and DNS.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describeImage, writeImageArchive, writeLayer } from '#node/oci/image-archive.ts';
import { imageArchitecture } from '#node/oci/architecture.ts';
import type { ClusterPaths } from './cluster-paths.ts';

export async function ensureSystemImages(paths: ClusterPaths): Promise<void> {
  for (const name of ['pause', 'coredns']) {
    const binary = join(paths.binDir, name);
    const file = join(paths.systemImagesDir, `${name}.tar`);
    if (existsSync(file) && statSync(file).mtimeMs > statSync(binary).mtimeMs) continue;
    const layer = await writeLayer([{ path: name, mode: 0o755, content: { file: binary } }], `${file}.layer`, 'none');
    await writeImageArchive(
      describeImage([layer], { entrypoint: [`/${name}`] }, imageArchitecture()),
      `localhost/${name}:1`,
      file,
    );
  }
}
