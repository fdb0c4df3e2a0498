// A node's environment, parsed once. The operator's pods and `npm run farm` set all of it.
import * as z from 'zod';
import { PORTS } from '#node/interface/ports.ts';
import product from '../package.json' with { type: 'json' };

type Role = 'farmer' | 'bridge' | 'repairer';

const port = (standard: number) => z.coerce.number().int().min(0).max(65_535).default(standard);
const publicKey = z.string().regex(/^[0-9a-f]{64}$/, 'an Ed25519 public key in hex');

const environmentSchema = z.object({
  STORJ_DATA_DIR: z.string().min(1),
  STORJ_CONFIG_FILE: z.string().min(1),
  STORJ_CONTROL_KEY: publicKey,
  STORJ_SEED_FILE: z.string().default(''),
  STORJ_REPAIRER: z.coerce.number().int().min(0).max(99).default(0),
  STORJ_SLOT: z.string().default(''),
  STORJ_LISTEN_HOST: z.string().default('0.0.0.0'),
  STORJ_ANNOUNCE_HOST: z.string().default('127.0.0.1'),
  STORJ_PIECES_PORT: port(PORTS.pieces),
  STORJ_LIBP2P_PORT: port(PORTS.libp2p),
  STORJ_ADMIN_PORT: port(PORTS.admin),
  STORJ_S3_PORT: port(PORTS.s3),
  STORJ_S3_TLS_DIR: z.string().default(''),
  STORJ_S3_REGION: z
    .string()
    .regex(/^[a-z0-9-]{1,32}$/)
    .default('storj-1'),
  STORJ_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

export interface NodeSettings {
  role: Role;
  /** Of the product. */
  version: string;
  /** The node's volume. */
  dataDir: string;
  /** farm.json; watched. */
  configFile: string;
  /** Public half of the farm's control key: who may write on the admin port. */
  controlKey: string;
  /** 32 bytes in hex, of bridge and repairer. A farmer's seed is born on its volume. */
  seedFile: string;
  /** Which of the farm's repairers this is, from 0. */
  repairer: number;
  /** Pod or folder name. */
  slot: string;
  listenHost: string;
  /** Name or address under which others reach this node. */
  announceHost: string;
  ports: { pieces: number; libp2p: number; admin: number; s3: number };
  s3Region: string;
  /** Folder with tls.crt and tls.key; empty = plain HTTP. */
  s3TlsDir: string;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** @throws Error that names the variable and what it should hold. */
export function parseSettings(role: string | undefined, environment: Record<string, string | undefined>): NodeSettings {
  if (role !== 'farmer' && role !== 'bridge' && role !== 'repairer') {
    throw new Error(`The first argument is the role: farmer, bridge or repairer; not ${JSON.stringify(role ?? '')}.`);
  }
  const result = environmentSchema.safeParse(environment);
  if (!result.success) throw new Error(`bad environment: ${z.prettifyError(result.error)}`);
  const env = result.data;
  if (role !== 'farmer' && env.STORJ_SEED_FILE === '')
    throw new Error(`bad environment: a ${role} needs STORJ_SEED_FILE, the file with its seed.`);
  return {
    role,
    version: product.version,
    dataDir: env.STORJ_DATA_DIR,
    configFile: env.STORJ_CONFIG_FILE,
    controlKey: env.STORJ_CONTROL_KEY,
    seedFile: env.STORJ_SEED_FILE,
    repairer: env.STORJ_REPAIRER,
    slot: env.STORJ_SLOT,
    listenHost: env.STORJ_LISTEN_HOST,
    announceHost: env.STORJ_ANNOUNCE_HOST,
    ports: { pieces: env.STORJ_PIECES_PORT, libp2p: env.STORJ_LIBP2P_PORT, admin: env.STORJ_ADMIN_PORT, s3: env.STORJ_S3_PORT },
    s3Region: env.STORJ_S3_REGION,
    s3TlsDir: env.STORJ_S3_TLS_DIR,
    logLevel: env.STORJ_LOG_LEVEL,
  };
}
