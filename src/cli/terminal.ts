import { styleText } from 'node:util';

/** How a piece of text looks where styles are shown. */
export type TextStyle = 'bold' | 'dim' | 'green' | 'red' | 'yellow';

/** One output of the process, and what it can show. */
export interface Output {
  readonly isTerminal: boolean;
  /** Characters of a line. */
  readonly columns: number;
  write(text: string): void;
  /** The text in that style; as it is where styles are not shown. */
  style(style: TextStyle, text: string): string;
}

/** Where a command speaks: results go to `results`, everything else to `notes`. */
export interface Terminal {
  readonly results: Output;
  readonly notes: Output;
}

/** What of a Node stream an output needs. */
export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Width for a stream that does not tell its own: logs wrap lines themselves. */
const columnsWithoutTerminal = 100;

/** Standard output and standard error. Styles need a terminal, and `NO_COLOR` to be unset. */
export function processTerminal(): Terminal {
  const noColor = process.env['NO_COLOR'];
  // A reader that has seen enough (`wombatkv ls | head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
  return {
    results: outputOf(process.stdout, noColor),
    notes: outputOf(process.stderr, noColor),
  };
}

/** The stream as an output. `noColor` is the value of the variable `NO_COLOR`. */
export function outputOf(stream: OutputStream, noColor: string | undefined): Output {
  const isTerminal = stream.isTTY === true;
  const hasStyles = isTerminal && (noColor === undefined || noColor === '');
  return {
    isTerminal,
    get columns() {
      const { columns = 0 } = stream;
      // A terminal that does not know its width says 0.
      return columns > 0 ? columns : columnsWithoutTerminal;
    },
    write: (text) => {
      stream.write(text);
    },
    // Newer versions of Node would look at standard output themselves.
    style: (style, text) => (hasStyles ? styleText(style, text, { validateStream: false }) : text),
  };
}
