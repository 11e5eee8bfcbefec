/** Numbers that look random and depend on the seed alone. */
export interface SeededRandom {
  /** An unsigned 32-bit integer. */
  word(): number;
  /** An integer in [0, limit). */
  below(limit: number): number;
}

/** The generator of the seed: any text or number. Same seed, same numbers, on every machine. */
export function seededRandom(seed: string | number): SeededRandom {
  let state = hashOf(String(seed)) || 1;
  const word = (): number => {
    // Marsaglia's xorshift32: the state is never 0.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return { word, below: (limit) => word() % limit };
}

/** FNV-1a with a final mix, so that texts that differ in their last digit give unlike streams. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
