export function deep(values: readonly number[]): number {
  for (const a of values) {
    if (a > 1) {
      for (const b of values) {
        if (b > a) return b;
      }
    }
  }
  return 0;
}
