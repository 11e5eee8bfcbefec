export const later = (): unknown => setImmediate(() => undefined);
