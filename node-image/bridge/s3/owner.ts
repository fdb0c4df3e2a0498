// How an owner is told in XML: its public key is the canonical id (64 hex digits, as AWS's own).
import type { PublicKey } from '#node/wire/types.ts';
import { element, leaf } from './xml.ts';

/** Shown where S3 wants a name for people. */
export const displayName = (owner: PublicKey): string => owner.slice(0, 16);

export const ownerElement = (owner: PublicKey, name = 'Owner'): string =>
  element(name, leaf('ID', owner), leaf('DisplayName', displayName(owner)));
