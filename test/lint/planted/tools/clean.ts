import { readFileSync } from 'node:fs';

console.log(readFileSync('name').length, Date.now());
