// oxlint-disable-next-line no-console
export const nothing = 0;
