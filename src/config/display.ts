/** Characters of a value that a message shows: enough to recognise it. */
const shownCharactersMax = 120;

/** The URL as a message may show it: quoted, cut, and without credentials. */
export function displayUrl(text: string): string {
  return quote(withoutCredentials(text));
}

/** The text in quotes, control characters escaped, cut to what helps. */
export function quote(text: string): string {
  if (text.length <= shownCharactersMax) return JSON.stringify(text);
  return `${JSON.stringify(text.slice(0, shownCharactersMax))}… (${text.length} characters)`;
}

/**
 * Hides everything up to the last `@`, because a secret key may itself hold `/`, and the query,
 * which may hold a signature. A plain `file:///` URL has neither and is shown whole.
 */
function withoutCredentials(url: string): string {
  if (/^file:\/\/[/~]/i.test(url)) return url;
  return url.replace(/^([a-z][a-z0-9+.-]*:(?=\/\/))?.*@/is, '$1//…@').replace(/\?.*$/s, '?…');
}
