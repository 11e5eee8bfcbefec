export function length(kind: 'block' | 'tail'): number {
  switch (kind) {
    case 'block':
      return 1;
  }
  return 0;
}
