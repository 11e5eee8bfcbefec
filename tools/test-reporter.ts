import { appendFileSync } from 'node:fs';
import type { EventData } from 'node:test';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';
import { endOfFileName, reportVariable } from './test-report.ts';
import type { ReportLine } from './test-report.ts';

/** What node:test itself says at the end, which the runner counts for itself. */
const summary = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

/** What it says there of an error that no test caught, which the entry reports when it happens. */
const lateError = /generated asynchronous activity after the test ended/;

/**
 * The reporter inside a process that runs test files. It writes each line at once, so that the report
 * is true up to the moment of a crash, and prints nothing.
 */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const path = process.env[reportVariable];
  if (path === undefined) throw new Error(`${reportVariable} is not set; use \`npm test\``);
  const write = (line: ReportLine): void => appendFileSync(path, `${JSON.stringify(line)}\n`);
  const tree = new TestTree();
  for await (const event of events) {
    if (event.type === 'test:start') tree.start(event.data);
    if (event.type === 'test:pass' || event.type === 'test:fail') {
      const { nesting, name } = event.data;
      if (nesting === 0 && name === endOfFileName) continue;
      writeTest(write, tree.end(event.data), event.data);
      if (nesting === 0) write({ type: 'file-reported', file: tree.file });
    }
    if (event.type === 'test:diagnostic') {
      const { message: text } = event.data;
      if (summary.test(text) || lateError.test(text)) continue;
      write({ type: 'diagnostic', file: tree.file, text });
    }
    yield '';
  }
  write({ type: 'end' });
}

type Ended = EventData.TestPass | EventData.TestFail;

interface Place {
  readonly file: string;
  readonly names: readonly string[];
  readonly holdsTests: boolean;
}

/**
 * Follows which suites are open: node:test reports a test after the tests inside it. The outermost
 * suite is a file.
 */
class TestTree {
  /** The file that the last event was of. */
  file = '';
  readonly #names: string[] = [];
  /** For each depth how many ended there since the test around them began. */
  readonly #ended: number[] = [];

  start({ name, nesting }: EventData.TestStart): void {
    this.#names[nesting] = name;
    this.#names.length = nesting + 1;
    this.#noteFile();
  }

  end({ name, nesting }: Ended): Place {
    const holdsTests = (this.#ended[nesting + 1] ?? 0) > 0;
    this.#ended[nesting + 1] = 0;
    this.#ended[nesting] = (this.#ended[nesting] ?? 0) + 1;
    this.#names[nesting] = name;
    this.#noteFile();
    return { file: this.file, names: this.#names.slice(1, nesting + 1), holdsTests };
  }

  #noteFile(): void {
    const [outermost] = this.#names;
    if (outermost !== undefined && outermost !== endOfFileName) this.file = outermost;
  }
}

function writeTest(write: (line: ReportLine) => void, place: Place, data: Ended): void {
  const { file, names, holdsTests } = place;
  const skip = data.skip ?? data.todo;
  if (skip !== undefined && skip !== false) {
    const text = skip === true ? '' : skip;
    write({ type: 'test', file, test: { outcome: 'skipped', names, text } });
    return;
  }
  const error = 'error' in data.details ? data.details.error : undefined;
  if (error !== undefined) {
    // A suite that fails only because of what it holds would be counted twice.
    if (holdsTests && failureType(error) === 'subtestsFailed') return;
    const text = inspect(error.cause ?? error);
    write({ type: 'test', file, test: { outcome: 'failed', names, text } });
    return;
  }
  if (holdsTests || data.details.type === 'suite') return;
  write({ type: 'test', file, test: { outcome: 'passed', names, text: '' } });
}

function failureType(error: Error): unknown {
  return 'failureType' in error ? error.failureType : undefined;
}
