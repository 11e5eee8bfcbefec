import { support } from '../../test/support/clean.ts';

export const three = support(1, 2);
