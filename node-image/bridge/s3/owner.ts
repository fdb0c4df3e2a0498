// How an owner is told in XML: its public key is the canonical id (64 hex digits, as AWS's own).
import type { Account } from '../objects.ts';
import { element, leaf } from './xml.ts';

export const ownerElement = ({ owner, displayName }: Account, name = 'Owner'): string =>
  element(name, leaf('ID', owner), leaf('DisplayName', displayName));
