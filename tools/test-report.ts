/** The environment variable that tells the reporter which file to write. */
export const reportVariable = 'WOMBATKV_TEST_REPORT';

/**
 * Name of the test that stands behind the tests of each file in a process: when it runs, they have
 * ended. It is not reported.
 */
export const endOfFileName = 'the tests of the file ended';

/** What became of one test. Suites, and tests that only hold other tests, are not counted. */
export interface TestRecord {
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** The names of the suites around the test, then its own; none for the file itself. */
  readonly names: readonly string[];
  /** The error of a failure, the reason of a skip. */
  readonly text: string;
}

/** A file of tests begins in this process. */
export interface FileStart {
  readonly type: 'file-start';
  readonly file: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Bytes that the process had written to its standard output before. */
  readonly outputBytes: number;
}

/** The tests of a file have all ended. */
export interface FileEnd {
  readonly type: 'file-end';
  readonly file: string;
  readonly at: number;
  /** What the process would end with. */
  readonly exitStatus: number;
  /** What the file left open, so that the process would not end by itself. */
  readonly leftOpen: readonly string[];
}

/** One line of a report, as JSON; `end`: all tests of the process ended. */
export type ReportLine =
  | FileStart
  | FileEnd
  | { readonly type: 'test'; readonly file: string; readonly test: TestRecord }
  /** All tests of the file have been reported. */
  | { readonly type: 'file-reported'; readonly file: string }
  /** A `t.diagnostic()`, or an error that no test took. */
  | { readonly type: 'diagnostic'; readonly file: string; readonly text: string }
  | { readonly type: 'end' };
