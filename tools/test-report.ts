/** The environment variable that tells the reporter which file to write. */
export const reportVariable = 'WOMBATKV_TEST_REPORT';

/** What became of one test. Suites, and tests that only hold other tests, are not counted. */
export interface TestRecord {
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** The names of the suites around the test, then its own. */
  readonly names: readonly string[];
  /** The error of a failure, the reason of a skip. */
  readonly text: string;
}

/** One line of a report, as JSON: a test, a `t.diagnostic()`, or the sign that all tests ended. */
export type ReportLine =
  | { readonly type: 'test'; readonly test: TestRecord }
  | { readonly type: 'diagnostic'; readonly text: string }
  | { readonly type: 'end' };
