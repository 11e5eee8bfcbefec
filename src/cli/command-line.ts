import { Command, CommanderError } from 'commander';
import { isStoreError, messageOf } from '../base/errors.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { addBuildNativeCommand } from './build-native-command.ts';
import { addCFlagsCommand } from './c-flags-command.ts';
import type { CommandContext } from './command-context.ts';
import { addConfigCommand } from './config-command.ts';
import { addDemoCommand } from './demo-command.ts';
import { addExplainCommand } from './explain-command.ts';
import { addInspectCommand } from './inspect-command.ts';
import { addListCommand } from './list-command.ts';
import { packageVersion } from './package-version.ts';
import { addPruneCommand } from './prune-command.ts';
import { settingsHelp } from './settings-help.ts';
import { addStatusCommand } from './status-command.ts';
import { processTerminal } from './terminal.ts';
import { addVerifyCommand } from './verify-command.ts';
import { addWarmCommand } from './warm-command.ts';

/** Exit codes: of a failure while the command ran, and of a command or setting that is wrong. */
const failed = 1;
const misused = 2;

/** The variable that asks for stacks beside messages, for those who mend this program. */
const debugVariable = 'WOMBATKV_DEBUG';

/** Runs the command that the arguments name. Resolves to the exit code and never rejects. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const context: CommandContext = { platform: nodePlatform(), terminal: processTerminal() };
  let exitCode = 0;
  const finish = (code: number): void => {
    exitCode = code;
  };
  try {
    const program = await buildProgram(context, finish);
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(context, error);
  }
}

async function buildProgram(
  context: CommandContext,
  finish: (exitCode: number) => void,
): Promise<Command> {
  const { results, notes } = context.terminal;
  const program = new Command('wombatkv')
    .description('A shared, durable, addressable KV cache for language-model engines.')
    .version(await packageVersion(context.platform.files), '-V, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => results.write(text),
      writeErr: (text) => notes.write(text),
      outputError: (text, write) => write(`wombatkv: ${text.replace(/^error: /, '')}`),
    })
    .showHelpAfterError('(wombatkv --help lists commands and settings)')
    .addHelpText('after', () => `\n${settingsHelp(results.columns)}`);
  const commands = [
    addDemoCommand,
    addStatusCommand,
    addListCommand,
    addInspectCommand,
    addExplainCommand,
    addWarmCommand,
    addVerifyCommand,
    addPruneCommand,
    addConfigCommand,
    addBuildNativeCommand,
    addCFlagsCommand,
  ];
  for (const add of commands) add(program, context, finish);
  return program;
}

/** One line that names what failed; its exit code. */
function report({ platform, terminal }: CommandContext, error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has spoken already. Asking for help or the version is no misuse.
    return error.exitCode === 0 ? 0 : misused;
  }
  const { notes } = terminal;
  notes.write(`wombatkv: ${messageOf(error).replaceAll(/\s*\n\s*/g, ' ')}\n`);
  if (isSet(platform.environment[debugVariable]) && error instanceof Error) {
    notes.write(`${error.stack}\n`);
  }
  return isStoreError(error, 'INVALID') ? misused : failed;
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0';
}
