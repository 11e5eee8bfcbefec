import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What a command of the compiled program did. */
export interface CliResult {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  /** The user's home directory: nothing is ever written to that of the one who tests. */
  readonly home: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The compiled program, when it is not that of this build. */
  readonly program?: string;
  /** Sees the process while it runs. */
  readonly onStart?: (child: ChildProcess) => void;
}

const mainProgram = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** The path of a compiled example. */
export function examplePath(name: string): string {
  return fileURLToPath(new URL(`../../examples/${name}.js`, import.meta.url));
}

/** Runs `wombatkv` with the arguments, in an environment without settings of ours. */
export function runCli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [options.program ?? mainProgram, ...args], {
      env: { ...cleanEnvironment(), HOME: options.home, ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode: exitCode ?? undefined, stdout, stderr }));
    options.onStart?.(child);
  });
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(WMBT_KV_|WOMBATKV_|XDG_|NO_COLOR$|FORCE_COLOR$)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
}
