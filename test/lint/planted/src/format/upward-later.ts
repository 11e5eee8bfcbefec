export const format = import('../store/clean.ts');
