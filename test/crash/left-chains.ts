import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';

/** What a client saves as the n-th, by its name: short payloads, or such as lie in lent memory. */
export function leftChain(name: string, kind: string, count: number): Chain {
  const id = `${name}/${count}`;
  return kind === 'lent' ? chainOf(id, 4, 200_000) : chainOf(id, 1 + (count % 3), 3000);
}
