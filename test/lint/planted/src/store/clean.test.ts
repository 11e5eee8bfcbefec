import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { support } from '../../test/support/clean.ts';
import { one } from '../base/clean.ts';
import { store } from './clean.ts';

describe('store', () => {
  it('sees its layer, those below, the tests and the machine', async () => {
    await store({ length: support(readFileSync('name').length, one) });
  });
});
