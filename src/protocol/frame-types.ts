/** What frames there are, by the number that stands in their header. */
export const frameTypeCodes = {
  hello: 1,
  welcome: 2,
  error: 3,
  cancel: 4,
  ping: 5,
  pong: 6,
  payload: 8,
  data: 9,
  lookup: 16,
  'looked-up': 17,
  contains: 18,
  present: 19,
  load: 20,
  loaded: 21,
  'load-tail': 22,
  'load-raw-tail': 23,
  save: 24,
  'save-tail': 25,
  'save-raw-tail': 26,
  wanted: 27,
  grant: 28,
  saved: 29,
  prefetch: 30,
  prefetched: 31,
  flush: 32,
  flushed: 33,
  delete: 34,
  deleted: 35,
  stats: 36,
  statistics: 37,
  resend: 38,
  lent: 39,
  filled: 40,
  'open-ring': 41,
  ring: 42,
  'ring-news': 43,
  resident: 44,
  'resident-tail': 45,
  'borrow-raw-tail': 46,
} as const;

export type FrameType = keyof typeof frameTypeCodes;

const typesByCode: ReadonlyMap<number, FrameType> = new Map(
  Object.entries(frameTypeCodes).map(([type, code]) => [code, type as FrameType]),
);

/** The type with that number, or undefined for a number that has none. */
export function frameTypeOf(code: number): FrameType | undefined {
  return typesByCode.get(code);
}
