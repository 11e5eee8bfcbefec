import type { BulkSink } from '../../src/protocol/http1-sink.ts';

/** Brings the bytes to the sink as a socket would, at most `step` at a time, and tells it that they have ended. */
export function feedBulk(sink: BulkSink, bytes: Uint8Array, step: number): void {
  for (let at = 0; at < bytes.length;) {
    const space = sink.space();
    const part = bytes.subarray(at, at + Math.min(step, space.length));
    space.set(part);
    sink.took(part.length);
    at += part.length;
  }
  sink.finish();
}
