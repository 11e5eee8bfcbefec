import { messageOf, StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Files } from '../platform/files.ts';

/** What a token may be of: so it fits a header of HTTP too. */
const tokenPattern = /^[\x21-\x7e]*$/;

/**
 * Reads the token of a client: the first word of the one line of the file that is not empty and no
 * comment. So a line of a daemon's file can be taken as it is.
 *
 * @throws StoreError `INVALID`, never with text of the file.
 */
export async function readToken(files: Files, path: string): Promise<string> {
  let text: string;
  try {
    text = new TextDecoder().decode(await files.readSmall(path, limits.tokenFileBytesMax));
  } catch (cause) {
    const message = `token file ${path} cannot be read: ${messageOf(cause)}`;
    throw new StoreError('INVALID', message, { cause });
  }
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (lines.length !== 1) {
    const message = `token file ${path} holds ${lines.length} tokens; a client gives exactly one`;
    throw new StoreError('INVALID', message);
  }
  const [token] = lines[0].split(/[ \t]+/);
  if (isTokenText(token)) return token;
  throw new StoreError('INVALID', `token file ${path}: a token is ${tokenRule}`);
}

export const tokenRule = `at most ${limits.tokenLengthMax} ASCII letters, digits and signs`;

export function isTokenText(text: string): boolean {
  return text.length <= limits.tokenLengthMax && tokenPattern.test(text);
}
