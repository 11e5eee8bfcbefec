/** A moment, in milliseconds since 1970, as ISO 8601 in UTC: `2030-01-31T12:00:00.000Z`. */
export function isoTimeOf(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

/** The moment that a date of ISO 8601 or of an HTTP header names; undefined for other text. */
export function momentOf(text: string): number | undefined {
  const wallMs = Date.parse(text);
  return Number.isNaN(wallMs) ? undefined : wallMs;
}
