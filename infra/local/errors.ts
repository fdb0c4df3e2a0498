// Everything that can go wrong with the local cluster, as one class with a code. The message says
// what is wrong, the remedy what to do about it.

export type ClusterErrorCode =
  | 'NotLinux'
  | 'NotRoot'
  | 'CommandsMissing'
  | 'GoMissing'
  | 'DiskFull'
  | 'PortTaken'
  | 'BadName'
  | 'BadForward'
  | 'ClusterDiffers'
  | 'NoCluster'
  | 'BuildFailed'
  | 'NotReady'
  | 'CommandFailed'
  | 'LockTimeout';

export class ClusterError extends Error {
  readonly code: ClusterErrorCode;
  readonly remedy: string;

  constructor(code: ClusterErrorCode, what: string, remedy: string, options?: ErrorOptions) {
    super(remedy === '' ? what : `${what}\n  ${remedy}`, options);
    this.name = 'ClusterError';
    this.code = code;
    this.remedy = remedy;
  }
}
