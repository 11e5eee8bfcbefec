import { it } from 'node:test';
import { store } from '../store/clean.ts';

it('looks upward', async () => {
  await store({ length: 1 });
});
