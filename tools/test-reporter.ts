import { appendFileSync } from 'node:fs';
import type { EventData } from 'node:test';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';
import { reportVariable } from './test-report.ts';
import type { ReportLine } from './test-report.ts';

/** What node:test itself says at the end, which the runner counts for itself. */
const summary = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

/**
 * The reporter inside a test file's process. It writes each line at once, so that the report is
 * true up to the moment of a crash, and prints nothing.
 */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const path = process.env[reportVariable];
  if (path === undefined) throw new Error(`${reportVariable} is not set; use \`npm test\``);
  const write = (line: ReportLine): void => appendFileSync(path, `${JSON.stringify(line)}\n`);
  const tree = new TestTree();
  for await (const event of events) {
    if (event.type === 'test:start') tree.start(event.data);
    if (event.type === 'test:pass') writeTest(write, tree.end(event.data), event.data);
    if (event.type === 'test:fail') writeTest(write, tree.end(event.data), event.data);
    if (event.type === 'test:diagnostic' && !summary.test(event.data.message)) {
      write({ type: 'diagnostic', text: event.data.message });
    }
    yield '';
  }
  write({ type: 'end' });
}

type Ended = EventData.TestPass | EventData.TestFail;

interface Place {
  readonly names: readonly string[];
  readonly holdsTests: boolean;
}

/** Follows which suites are open: node:test reports a test after the tests inside it. */
class TestTree {
  readonly #names: string[] = [];
  /** For each depth how many ended there since the test around them began. */
  readonly #ended: number[] = [];

  start({ name, nesting }: EventData.TestStart): void {
    this.#names[nesting] = name;
    this.#names.length = nesting + 1;
  }

  end({ name, nesting }: Ended): Place {
    const holdsTests = (this.#ended[nesting + 1] ?? 0) > 0;
    this.#ended[nesting + 1] = 0;
    this.#ended[nesting] = (this.#ended[nesting] ?? 0) + 1;
    return { names: [...this.#names.slice(0, nesting), name], holdsTests };
  }
}

function writeTest(write: (line: ReportLine) => void, place: Place, data: Ended): void {
  const { names } = place;
  const skip = data.skip ?? data.todo;
  if (skip !== undefined && skip !== false) {
    write({ type: 'test', test: { outcome: 'skipped', names, text: skip === true ? '' : skip } });
    return;
  }
  const error = 'error' in data.details ? data.details.error : undefined;
  if (error !== undefined) {
    // A suite that fails only because of what it holds would be counted twice.
    if (place.holdsTests && failureType(error) === 'subtestsFailed') return;
    write({
      type: 'test',
      test: { outcome: 'failed', names, text: inspect(error.cause ?? error) },
    });
    return;
  }
  if (place.holdsTests || data.details.type === 'suite') return;
  write({ type: 'test', test: { outcome: 'passed', names, text: '' } });
}

function failureType(error: Error): unknown {
  return 'failureType' in error ? error.failureType : undefined;
}
