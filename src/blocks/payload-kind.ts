/** What a payload is: a full block, a tail bound to its tokens, or a raw tail bound to a tip only. */
export type PayloadKind = 'block' | 'tail' | 'raw-tail';

/** All of them. Files on disk hold their numbers in this order (docs/FORMAT.md): it never changes. */
export const payloadKinds: readonly PayloadKind[] = ['block', 'tail', 'raw-tail'];
