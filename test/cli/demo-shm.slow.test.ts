import { it } from 'node:test';
import { checkDemoThrough } from './demo-through.ts';

it('wombatkv demo --through shm shows what it shows without a daemon', () =>
  checkDemoThrough('shm'));
