import { settingPrefix, effectiveSettings } from '../config/settings.ts';
import { wrapText } from './text-table.ts';

/** The settings that have effect, from the one table, as the end of a help text. */
export function settingsHelp(columns: number): string {
  const width = Math.min(columns, 100);
  const entries = effectiveSettings.map(({ name, help, default: value }) => {
    const fallback = value === '' ? '' : ` Default: ${value}.`;
    return `  ${name}\n${wrapText(`${help.replaceAll('`', '')}${fallback}`, width, '      ')}`;
  });
  const introduction =
    'Settings come from the environment; flags win over them. `wombatkv config` shows what is in ' +
    `effect. An unknown name that begins with ${settingPrefix} is an error.`;
  return `Settings:\n${wrapText(introduction, width, '  ')}\n${entries.join('')}`;
}
