export function support(a: number, b: number): number {
  return a + b + Date.now();
}
