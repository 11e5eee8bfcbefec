export const deadline = (): AbortSignal => AbortSignal.timeout(1);
