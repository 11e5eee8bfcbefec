import { it } from 'node:test';
import { store } from './clean.ts';

it('forgets', () => {
  store({ length: 1 });
});
