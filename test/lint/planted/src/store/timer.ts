export const later = (): unknown => setTimeout(() => undefined, 1);
