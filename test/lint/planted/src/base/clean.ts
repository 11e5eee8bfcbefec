/** Touches nothing. */
export const one = 1;
