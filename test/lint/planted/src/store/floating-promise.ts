import { store } from './clean.ts';

export function forget(): void {
  store({ length: 1 });
}
