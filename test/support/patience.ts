/** Deadlines of stores and clients: a machine that runs other tests may take longer than usual. */
export const patience = { lookupDeadlineMs: 20_000, loadDeadlineMs: 20_000 } as const;

/** The same as settings of a process. */
export const patientSettings = {
  WMBT_KV_LOOKUP_DEADLINE_MS: String(patience.lookupDeadlineMs),
  WMBT_KV_LOAD_DEADLINE_MS: String(patience.loadDeadlineMs),
} as const;
