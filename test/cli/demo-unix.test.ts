import { it } from 'node:test';
import { checkDemoThrough } from './demo-through.ts';

it('wombatkv demo --through unix shows what it shows without a daemon', () =>
  checkDemoThrough('unix'));
