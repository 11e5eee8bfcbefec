const days = ['Thu', 'Fri', 'Sat', 'Sun', 'Mon', 'Tue', 'Wed'];
const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');
const dayMs = 86_400_000;

/** A moment as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`. Milliseconds since 1970. */
export function httpDate(wallMs: number): string {
  const day = Math.floor(wallMs / dayMs);
  const second = Math.floor((wallMs - day * dayMs) / 1000);
  const { year, month, date } = civilDate(day);
  const time = [Math.floor(second / 3600), Math.floor(second / 60) % 60, second % 60].map(
    twoDigits,
  );
  const weekday = days[((day % 7) + 7) % 7];
  return `${weekday}, ${twoDigits(date)} ${months[month - 1]} ${year} ${time.join(':')} GMT`;
}

/** The Gregorian date of a day since 1970; years begin in March, so that leap days come last. */
function civilDate(day: number): { year: number; month: number; date: number } {
  const shifted = day + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const leapDays = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  const dayOfYear = dayOfEra - (365 * yearOfEra + leapDays);
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    date: dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1,
  };
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
