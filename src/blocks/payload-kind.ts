/** What a payload is: a full block, a tail bound to its tokens, or a raw tail bound to a tip only. */
export type PayloadKind = 'block' | 'tail' | 'raw-tail';
