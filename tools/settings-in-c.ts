import { settings } from '../src/config/settings.ts';

/** The names of all settings, for the C library, which says of a variable that it does not know which one is meant. */
export function settingsInC(): string {
  const rows = settings.map(({ name, effect, readBy }) => {
    const isIdle = effect === 'accepted';
    return `    {"${name}", ${isIdle}, ${isIdle && readBy.includes('engine')}},`;
  });
  return [
    '/* Written by `npm run gen` from the table of settings in src/config/settings.ts. */',
    '#include "known-settings.h"',
    '',
    'const struct wmbt_known_setting wmbt_known_settings[] = {',
    ...rows,
    '    {NULL, false, false},',
    '};',
    '',
  ].join('\n');
}
