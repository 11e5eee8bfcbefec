/** Something that runs beside the calls of a store. */
export interface BackgroundTask {
  /** Ends it and resolves when it has ended. */
  stop(): Promise<void>;
}
