import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const codeChild = fileURLToPath(new URL('./store-code-child.js', import.meta.url));

/** Starting the store takes a second at most; a machine that compiles has others to serve. */
const codeMsMax = 60_000;

/**
 * Lays the program out in the folder as the C library starts it (docs/decisions/0104): `store.cjs`, which runs
 * `store-<digest>.js` by the compiled code in `store-<digest>.code`. All three are of one build, whatever
 * lies beside them.
 *
 * @throws Error when the program does not start here.
 */
export async function layOutStore(folder: string, program: string): Promise<void> {
  const digest = createHash('sha256').update(program).digest('hex').slice(0, 16);
  const name = `store-${digest}`;
  const path = join(folder, `${name}.js`);
  writeFileSync(join(folder, 'store.cjs'), loaderOf(name));
  writeFileSync(path, program);
  await keepCode(path, join(folder, `${name}.code`));
}

/** Removes programs of other builds than the one that lies in `ofBuild`. */
export function removeOtherStores(folder: string, ofBuild: string): void {
  const own = new Set(readdirSync(ofBuild));
  for (const file of readdirSync(folder)) {
    if (/^store-[0-9a-f]{16}\.(js|code)$/.test(file) && !own.has(file)) rmSync(join(folder, file));
  }
}

/**
 * What compiles the program, unless its code is there and this Node's: V8 looks at its own version and
 * flags and at the length of the program, and compiles where one differs.
 */
function loaderOf(name: string): string {
  return `// Written by the build of libwombatkv; WMBT_KV_STORE names another program.
'use strict';
const { existsSync, readFileSync } = require('node:fs');
const { constants, Script } = require('node:vm');
const filename = \`\${__dirname}/${name}.js\`;
const code = \`\${__dirname}/${name}.code\`;
new Script(readFileSync(filename, 'latin1'), {
  filename,
  cachedData: existsSync(code) ? readFileSync(code) : undefined,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
}).runInThisContext()(require);
`;
}

/** Keeps the code of all functions that a start of the program has compiled. */
async function keepCode(program: string, target: string): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'wombatkv-store-'));
  const run = join(home, 'run');
  mkdirSync(run, { mode: 0o700 });
  const child = spawn(process.execPath, [codeChild, program, target], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'ipc'],
    cwd: home,
    env: { PATH: process.env['PATH'] ?? '', HOME: home, WMBT_KV_RUNTIME_DIR: run },
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), codeMsMax);
  const closed = once(child, 'close');
  try {
    await readyOf(child);
    child.send('keep');
    await once(child, 'disconnect');
    // Its owner has gone: it ends.
    bondOf(child).destroy();
    const [status] = await closed;
    if (status !== 0) throw new Error(`the store program ended with ${String(status)}`);
  } finally {
    child.kill('SIGKILL');
    await closed;
    clearTimeout(timer);
    rmSync(home, { recursive: true, force: true });
  }
}

/** Resolves when the store says that it is ready. */
async function readyOf(child: ChildProcess): Promise<void> {
  let said = '';
  for await (const text of bondOf(child).setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    said += String(text);
    if (/^ready /m.test(said)) return;
  }
  throw new Error(`the store program does not start: ${said}`);
}

/** This side of the socket between the store and its owner. */
function bondOf({ stdio: [, , , bond] }: ChildProcess): Readable {
  if (bond instanceof Readable) return bond;
  throw new Error('the store program has no socket');
}
