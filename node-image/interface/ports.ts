// Ports that a node listens on, with the defaults that the operator and the charts use.
export const PORTS = {
  /** Farmer: pieces and logs, HTTPS with libp2p certificates. */
  pieces: 4433,
  /** Farmer: libp2p (identity, discovery, control). */
  libp2p: 4001,
  /** All roles: status, metrics, probes, desired state. HTTPS; writes need the control key's certificate. */
  admin: 9464,
  /** Bridge: S3. */
  s3: 9000,
} as const;
