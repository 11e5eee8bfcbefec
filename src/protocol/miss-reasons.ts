import type { MissReason } from '../blocks/kv-store.ts';

/** Every reason, in the order of their numbers on the wire: new ones go to the end. */
export const missReasons = [
  'unknown',
  'evicted',
  'corrupt',
  'decoded',
  'other-fingerprint',
  'deadline',
  'unavailable',
  'incompatible',
  'closed',
] as const satisfies readonly MissReason[];
