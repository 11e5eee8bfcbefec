import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { BuiltLibrary } from '../../tools/capi-build.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row } from '../report.ts';
import { Samples } from '../one-host/samples.ts';

/** Each is a process; a start takes a tenth of a second. */
const starts = 20;
const startMsMax = 60_000;

/** A Node that says something on the socket, which is the least that a store process does. */
const least = `new (require('node:net').Socket)({ fd: 3, readable: true, writable: true }).end('ready\\n');`;

/**
 * From the start of the store process of an engine until it says that it is ready, in a fresh cache directory;
 * with the compiled code of its program, without it, and a Node that does nothing else, in turns.
 */
export async function measureStarts(
  { prefix }: BuiltLibrary,
  directory: string,
  isQuick: boolean,
): Promise<readonly Row[]> {
  const programs = join(prefix, 'lib/wombatkv');
  const without = join(directory, 'without-code');
  cpSync(programs, without, { recursive: true });
  for (const name of readdirSync(without, { recursive: true, encoding: 'utf8' })) {
    if (name.endsWith('.code')) rmSync(join(without, name));
  }
  const cases = {
    store: [join(programs, 'store.cjs')],
    'without code': [join(without, 'store.cjs')],
    least: ['-e', least],
  };
  const samples = new Samples();
  for (let round = 0; round < (isQuick ? 2 : starts); round += 1) {
    for (const [name, words] of Object.entries(cases)) {
      samples.keep(name, await startOnce(words, directory));
    }
  }
  const leastMs = { what: 'Node alone', value: samples.of('least') };
  const what = 'start of the store process until it is ready';
  return [
    rowOf({
      ...{ what, unit: 'ms', samples: samples.of('store'), against: leastMs },
      ...{ bar: atMost(100), barOn: 'measured' },
    }),
    rowOf({
      ...{ what: 'the same without compiled code', unit: 'ms' },
      ...{ samples: samples.of('without code'), against: leastMs },
    }),
    rowOf({ what: 'Node alone', unit: 'ms', samples: samples.of('least') }),
  ];
}

/** Milliseconds until the process has said that it is ready; it has ended when this resolves. */
async function startOnce(words: readonly string[], directory: string): Promise<number> {
  const home = mkdtempSync(join(directory, 'start-'));
  mkdirSync(join(home, 'run'), { mode: 0o700 });
  const startMs = performance.now();
  const child = spawn(process.execPath, words, {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    cwd: '/',
    env: { HOME: home, WMBT_KV_RUNTIME_DIR: join(home, 'run') },
    ...{ timeout: startMsMax, killSignal: 'SIGKILL' as const },
  });
  const bond = child.stdio[3];
  if (!(bond instanceof Readable)) throw new Error('the process has no socket');
  const [text] = await once(bond.setEncoding('utf8'), 'data');
  const ms = performance.now() - startMs;
  const closed = once(child, 'close');
  bond.destroy();
  await closed;
  rmSync(home, { recursive: true, force: true });
  if (!String(text).startsWith('ready')) throw new Error(`it does not start: ${String(text)}`);
  return ms;
}
