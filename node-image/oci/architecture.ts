// What OCI calls this machine.

export function imageArchitecture(machine: string = process.arch): 'amd64' | 'arm64' {
  if (machine === 'x64') return 'amd64';
  if (machine === 'arm64') return 'arm64';
  throw new RangeError(`no images for ${machine}: x64 and arm64 have one`);
}
