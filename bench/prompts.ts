import { seededRandom } from '../test/support/random.ts';

/** Tokens of no meaning, the same for the same name. */
export function randomTokens(name: string, count: number, vocabularySize: number): number[] {
  const random = seededRandom(name);
  return Array.from({ length: count }, () => random.below(vocabularySize));
}
