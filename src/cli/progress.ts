import type { Clock, ScheduledCall } from '../platform/clock.ts';
import { formatBytes, formatDuration } from './quantity.ts';
import type { Output } from './terminal.ts';

/** Wait between two drawings of a line on a terminal. */
const redrawMs = 100;
const barCharacters = 24;
const spinner = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';

/** How far a step has come. */
export interface StepProgress {
  /** What happens now. */
  readonly activity: string;
  /** Done and to be done, in any unit, where that is known. */
  readonly done?: number;
  readonly total?: number;
  /** True when the unit is bytes. */
  readonly isBytes?: boolean;
}

/**
 * Steps of a long command, for who waits. On a terminal the line of the step is drawn again and
 * again, with a bar where its length is known; elsewhere a step is two plain lines.
 */
export class Progress {
  readonly #output: Output;
  readonly #clock: Clock;
  #title = '';
  #startMs = 0;
  #step: StepProgress = { activity: '' };
  #frame = 0;
  #timer: ScheduledCall | undefined;

  constructor(output: Output, clock: Clock) {
    this.#output = output;
    this.#clock = clock;
  }

  /** A line of its own. */
  say(text: string): void {
    this.#output.write(`${text}\n`);
  }

  /** Begins a step. The one before has ended. */
  begin(title: string): void {
    this.#title = title;
    this.#startMs = this.#clock.nowMs();
    this.#step = { activity: '' };
    if (this.#output.isTerminal) this.#draw();
    else this.#output.write(`${title} ...\n`);
  }

  /** What the step does now. */
  update(step: StepProgress): void {
    this.#step = step;
  }

  /** Ends the step, with what came of it. */
  end(result: string): void {
    const mark = this.#output.style('green', '✓');
    this.#finish(`${mark} ${this.#title}: ${result}`, `  ${result}`);
  }

  /** Ends the step that was begun, if any, because it failed. */
  fail(): void {
    if (this.#title === '') return;
    const mark = this.#output.style('red', '✗');
    this.#finish(`${mark} ${this.#title}`, '  failed');
  }

  #finish(onTerminal: string, plain: string): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#title = '';
    const line = this.#output.isTerminal ? `\r\u001b[K${onTerminal}` : plain;
    this.#output.write(`${line}\n`);
  }

  #draw(): void {
    const { activity } = this.#step;
    const elapsed = formatDuration(this.#clock.nowMs() - this.#startMs);
    this.#frame += 1;
    const sign = spinner[this.#frame % spinner.length];
    const parts = [`${sign} ${this.#title}`, activity, this.#bar(), elapsed];
    const line = parts.filter((part) => part !== '').join('  ');
    // A line that wraps cannot be drawn over.
    this.#output.write(`\r\u001b[K${line.slice(0, this.#output.columns - 1)}`);
    this.#timer = this.#clock.schedule(redrawMs, () => this.#draw());
  }

  #bar(): string {
    const { done, total, isBytes } = this.#step;
    if (done === undefined || total === undefined || total === 0) return '';
    const full = Math.min(barCharacters, Math.floor((done / total) * barCharacters));
    const text =
      isBytes === true ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done} of ${total}`;
    return `${'█'.repeat(full)}${'░'.repeat(barCharacters - full)} ${text}`;
  }
}
