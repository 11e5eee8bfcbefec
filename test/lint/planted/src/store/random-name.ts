export const name = (): string => crypto.randomUUID();
