export const random = (): number => Math.random();
