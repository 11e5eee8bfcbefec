export { one } from './base/clean.ts';
