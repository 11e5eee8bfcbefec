import type { Clock } from '../../src/platform/clock.ts';
import type { Endpoints, Listener } from '../../src/platform/endpoints.ts';
import type { Files, OpenFile } from '../../src/platform/files.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { ProcessGate } from './process-gate.ts';

/** A platform for one store that can be taken away from it at any moment, as by SIGKILL. */
export interface KillablePlatform {
  readonly platform: Platform;
  /** For wrapping other things that the process reaches, such as its bucket. */
  readonly gate: ProcessGate;
  /**
   * Ends the process: calls under way stay unsettled, timers do not fire, sockets no longer listen,
   * files are closed. What the system was told to do before is done when this resolves.
   */
  kill(): Promise<void>;
}

/** Wraps `inner`, directly under the store. */
export function killablePlatform(inner: Platform): KillablePlatform {
  const gate = new ProcessGate();
  const openFiles = new Set<OpenFile>();
  const listeners = new Set<Listener>();
  const platform: Platform = {
    ...inner,
    clock: gatedClock(gate, inner.clock),
    files: gatedFiles(gate, inner.files, openFiles),
    endpoints: gatedEndpoints(gate, inner.endpoints, listeners),
  };
  return {
    platform,
    gate,
    async kill() {
      await gate.kill();
      await Promise.all([...listeners].map((listener) => listener.close()));
      await Promise.all([...openFiles].map((file) => file.close()));
    },
  };
}

function gatedClock(gate: ProcessGate, clock: Clock): Clock {
  return {
    wallMs: () => clock.wallMs(),
    nowMs: () => clock.nowMs(),
    sleep: (ms, signal) => gate.watch(clock.sleep(ms, signal)),
    schedule: (ms, callback) => clock.schedule(ms, () => gate.call(callback)),
    yield: () => gate.watch(clock.yield()),
  };
}

function gatedFiles(gate: ProcessGate, files: Files, openFiles: Set<OpenFile>): Files {
  return {
    ...files,
    open: (path, mode) =>
      gate.pass(async () => {
        const file = await files.open(path, mode);
        openFiles.add(file);
        return gatedFile(gate, file, openFiles);
      }),
    readSmall: (path, byteLengthMax) => gate.pass(() => files.readSmall(path, byteLengthMax)),
    status: (path) => gate.pass(() => files.status(path)),
    list: (path) => gate.pass(() => files.list(path)),
    makeDirectory: (path) => gate.pass(() => files.makeDirectory(path)),
    link: (existing, path) => gate.pass(() => files.link(existing, path)),
    rename: (from, to) => gate.pass(() => files.rename(from, to)),
    remove: (path) => gate.pass(() => files.remove(path)),
    removeDirectory: (path) => gate.pass(() => files.removeDirectory(path)),
    syncDirectory: (path) => gate.pass(() => files.syncDirectory(path)),
    freeBytes: (path) => gate.pass(() => files.freeBytes(path)),
  };
}

function gatedFile(gate: ProcessGate, file: OpenFile, openFiles: Set<OpenFile>): OpenFile {
  return {
    read: (into, position) => gate.pass(() => file.read(into, position)),
    write: (buffers, position) => gate.pass(() => file.write(buffers, position)),
    sync: () => gate.pass(() => file.sync()),
    truncate: (byteLength) => gate.pass(() => file.truncate(byteLength)),
    byteLength: () => gate.pass(() => file.byteLength()),
    close: () =>
      gate.pass(async () => {
        openFiles.delete(file);
        await file.close();
      }),
  };
}

function gatedEndpoints(
  gate: ProcessGate,
  endpoints: Endpoints,
  listeners: Set<Listener>,
): Endpoints {
  return {
    listen: (path) =>
      gate.pass(async () => {
        const listener = await endpoints.listen(path);
        listeners.add(listener);
        return {
          close: () =>
            gate.pass(async () => {
              listeners.delete(listener);
              await listener.close();
            }),
        };
      }),
    isListening: (path, timeoutMs) => gate.pass(() => endpoints.isListening(path, timeoutMs)),
  };
}
