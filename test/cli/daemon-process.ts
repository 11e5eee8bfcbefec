import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../src/cli/daemon-main.js', import.meta.url));

/** A line of the daemon's standard output. */
export interface DaemonEvent {
  readonly event: string;
  readonly addresses?: readonly { readonly transport: string; readonly url: string }[];
  readonly message?: string;
}

/** The real command in a process of its own. */
export class DaemonProcess {
  readonly child: ChildProcess;
  readonly events: DaemonEvent[] = [];
  readonly exit: Promise<number | null>;
  notes = '';
  output = '';
  #rest = '';
  #onEvent: (() => void) | undefined;

  /** Starts the compiled program of this build, or another; behind the words of `through`, if any. */
  constructor(
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
    options: { readonly script?: string; readonly through?: readonly string[] } = {},
  ) {
    // Nothing of this process's own settings.
    const path = process.env['PATH'] ?? '';
    const { script = program, through = [] } = options;
    const [first = process.execPath, ...rest] = [...through, process.execPath, script, ...args];
    this.child = spawn(first, rest, {
      env: { PATH: path, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.notes += text;
    });
    this.exit = once(this.child, 'close').then(([code]: unknown[]) =>
      typeof code === 'number' ? code : null,
    );
  }

  /** Waits for the event; rejects when the process ends before. */
  async seen(name: string): Promise<DaemonEvent> {
    for (;;) {
      const found = this.events.find(({ event }) => event === name);
      if (found !== undefined) return found;
      const next = new Promise<void>((resolve) => {
        this.#onEvent = resolve;
      });
      const end = this.exit.then((code) => {
        throw new Error(`the daemon ended with ${code} before ${name}: ${this.notes}`);
      });
      end.catch(() => undefined);
      await Promise.race([next, end]);
    }
  }

  /** The addresses of `ready`. */
  async ready(): Promise<readonly string[]> {
    const { addresses = [] } = await this.seen('ready');
    return addresses.map(({ url }) => url);
  }

  /** Sends the signal and waits for the end; gives the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal);
    return this.exit;
  }

  #take(text: string): void {
    this.output += text;
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('{')) this.events.push(JSON.parse(line));
    this.#onEvent?.();
  }
}
