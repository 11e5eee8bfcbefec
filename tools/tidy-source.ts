/** The parts of a TypeScript, JavaScript or C source, each at its own lines and columns. */
export interface SourceParts {
  /** The comments; everything else is blank. */
  readonly comments: string;
  /** The program with its strings, without comments. */
  readonly program: string;
  /** The program without strings and comments. */
  readonly code: string;
}

/**
 * Strings, regular expressions and comments. Not a full lexer: what it takes for a regular
 * expression, and templates inside templates, are guesses that hold for formatted sources.
 */
const tokens = new RegExp(
  [
    /(?<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)/,
    /(?<comment>\/\/[^\n]*|\/\*[^]*?\*\/)/,
    /(?<pattern>(?<=(?:[=(,:[!&|?{};]|=>|return)\s*)\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+\/)/,
  ]
    .map((part) => part.source)
    .join('|'),
  'g',
);

/** Splits a source so that searches in one part do not find what stands in another. */
export function splitSource(text: string): SourceParts {
  let comments = '';
  let program = '';
  let code = '';
  let end = 0;
  for (const match of text.matchAll(tokens)) {
    const between = text.slice(end, match.index);
    const [token] = match;
    const isComment = match.groups?.['comment'] !== undefined;
    comments += blank(between) + (isComment ? token : blank(token));
    program += between + (isComment ? blank(token) : token);
    code += between + blank(token);
    end = match.index + token.length;
  }
  const rest = text.slice(end);
  return { comments: comments + blank(rest), program: program + rest, code: code + rest };
}

function blank(text: string): string {
  return text.replace(/[^\n]/g, ' ');
}
