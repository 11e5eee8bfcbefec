import type { Command } from 'commander';
import type { ResolvedStoreConfig } from '../config/store-config.ts';
import { formatByteSize } from '../config/parse.ts';
import type { EffectiveSetting } from '../config/setting.ts';
import { effectiveSettings } from '../config/settings.ts';
import {
  flagOfField,
  overridesOf,
  printJson,
  settingsInEffect,
  withJsonFlag,
  withStoreFlags,
} from './command-context.ts';
import type { CommandContext, OutputFlags, StoreFlags } from './command-context.ts';
import { settingsHelp } from './settings-help.ts';
import { renderTable } from './text-table.ts';

type ConfigFlags = StoreFlags & OutputFlags;

/** Where a value comes from. */
type ValueSource = 'flag' | 'environment' | 'default';

/** One setting in effect, as `--json` prints it. */
interface ShownSetting {
  readonly name: string;
  readonly field: string;
  readonly value: string | number | boolean;
  readonly source: ValueSource;
  readonly flag: string | undefined;
  readonly help: string;
}

export function addConfigCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  const command = program
    .command('config')
    .description('show every setting that has effect, its value, and where the value comes from');
  withJsonFlag(withStoreFlags(command))
    .addHelpText('after', () => `\n${settingsHelp(context.terminal.results.columns)}`)
    .action((flags: ConfigFlags) => finish(showConfig(context, flags)));
}

function showConfig(context: CommandContext, flags: ConfigFlags): number {
  const config = settingsInEffect(context, flags);
  const settings = effectiveSettings.map((setting) => shown(context, flags, config, setting));
  if (flags.json === true) {
    printJson(context, { settings });
    return 0;
  }
  const { results } = context.terminal;
  const rows = settings.map(({ name, source, flag }, index) => {
    const text = textOf(effectiveSettings[index], config);
    const from = source === 'flag' ? String(flag) : source;
    return [name, text, source === 'default' ? results.style('dim', from) : from];
  });
  const columns = ['setting', 'value', 'from'].map((title) => ({ title, align: 'left' as const }));
  results.write(renderTable(columns, rows, (text) => results.style('bold', text)));
  return 0;
}

function shown(
  context: CommandContext,
  flags: StoreFlags,
  config: ResolvedStoreConfig,
  setting: EffectiveSetting,
): ShownSetting {
  const { name, field, help } = setting;
  const variable = context.platform.environment[name] ?? '';
  const isFlag = overridesOf(flags)[field] !== undefined;
  const fallback = variable === '' ? 'default' : 'environment';
  return {
    name,
    field,
    value: setting.isSecret === true ? '(not shown)' : config[field],
    source: isFlag ? 'flag' : fallback,
    flag: flagOfField[field],
    help,
  };
}

/** The value as one would write it. */
function textOf(setting: EffectiveSetting, config: ResolvedStoreConfig): string {
  if (setting.isSecret === true) return '(not shown)';
  const value = config[setting.field];
  switch (setting.kind) {
    case 'bytes':
    case 'bytes-or-off':
      return typeof value === 'number' ? formatByteSize(value) : 'off';
    case 'milliseconds':
      return `${String(value)} ms`;
    case 'boolean':
      return value === true ? 'on' : 'off';
    default:
      if (value === false) return '(none: there is no disk tier)';
      return value === '' ? '(none)' : String(value);
  }
}
