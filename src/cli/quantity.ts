/** Quantities as people read them. All are rounded; `--json` has the exact numbers. */

const dash = '–';

/** `1,700` */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** `20.5 MiB` */
export function formatBytes(bytes: number): string {
  let size = bytes;
  let unit = 'B';
  for (const larger of ['KiB', 'MiB', 'GiB', 'TiB']) {
    if (size < 1024) break;
    size /= 1024;
    unit = larger;
  }
  const digits = size.toFixed(unit === 'B' || size >= 100 ? 0 : 1).replace(/\.0$/, '');
  return `${digits} ${unit}`;
}

/** `17.9 s`, `1.24 s`, `123 ms` */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** `148 ×`, `4.2 ×` */
export function formatRatio(ratio: number): string {
  return `${ratio.toFixed(ratio < 10 ? 1 : 0)} ×`;
}

/** `3 payloads, 4.5 MiB`; a dash when there are none. */
export function formatPayloads(payloads: number, bytes: number): string {
  if (payloads === 0) return dash;
  const noun = payloads === 1 ? 'payload' : 'payloads';
  return `${formatCount(payloads)} ${noun}, ${formatBytes(bytes)}`;
}

/** `just now`, `5 min`, `3 h`, `12 d` */
export function formatAge(ms: number): string {
  const minutes = ms / 60_000;
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${Math.floor(minutes)} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h`;
  return `${Math.floor(minutes / (24 * 60))} d`;
}

/** Milliseconds since 1970 as a date and time that reads the same everywhere. */
export function formatTime(ms: number): string {
  const style = { dateStyle: 'short', timeStyle: 'medium', timeZone: 'UTC' } as const;
  return `${new Intl.DateTimeFormat('sv-SE', style).format(ms)} UTC`;
}

/** The text, or a dash for what is not known. */
export function orDash(text: string | number | undefined): string {
  if (text === undefined) return dash;
  return typeof text === 'number' ? formatCount(text) : text;
}
