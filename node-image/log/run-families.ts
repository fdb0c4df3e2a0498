// The two families of runs: order and merge from core, bytes from wire.
import { ownerFamily, repairFamily, type RecordFamily } from '#node/core/run-records.ts';
import {
  decodeOwnerRecord,
  decodeRepairRecord,
  encodeOwnerRecord,
  encodeRepairRecord,
  type OwnerRecord,
  type RepairRecord,
} from '#node/wire/checkpoints.ts';

export interface RunFamily<Rec> extends RecordFamily<Rec> {
  encode(record: Rec): Uint8Array;
  /** Throws WireError. */
  decode(bytes: Uint8Array): Rec;
}

export const OWNER_RUNS: RunFamily<OwnerRecord> = { ...ownerFamily, encode: encodeOwnerRecord, decode: decodeOwnerRecord };
export const REPAIR_RUNS: RunFamily<RepairRecord> = { ...repairFamily, encode: encodeRepairRecord, decode: decodeRepairRecord };
