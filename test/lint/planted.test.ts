import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../../', import.meta.url));

const imports = 'eslint(no-restricted-imports)';
const builtins = 'import(no-nodejs-modules)';
const globals = 'eslint(no-restricted-globals)';
const properties = 'eslint(no-restricted-properties)';

/** For each planted file the rules that must report it; every other planted file is clean. */
const faults: Readonly<Record<string, readonly string[]>> = {
  'src/format/upward-import.ts': [imports],
  'src/format/upward-type.ts': [imports],
  'src/format/upward-later.ts': [imports],
  'src/format/platform-import.ts': [imports],
  'src/platform/sibling-import.ts': [imports],
  'src/engines/llama/sibling-import.ts': [imports],
  'src/store/barrel-import.ts': [imports],
  'src/store/tools-import.ts': [imports],
  'src/elsewhere/unknown-layer.ts': [imports],
  'src/base/upward.test.ts': [imports],
  'examples/inside.ts': [imports],
  'src/blocks/cycle-a.ts': ['import(no-cycle)'],
  'src/blocks/cycle-b.ts': ['import(no-cycle)'],
  'src/blocks/default-export.ts': ['import(no-default-export)'],
  'src/blocks/value-import.ts': ['typescript(consistent-type-imports)'],

  'src/store/clock.ts': [globals],
  'src/store/clock-by-global.ts': [globals],
  'src/store/timer.ts': [globals],
  'src/store/turn.ts': [globals],
  'src/store/deadline.ts': [properties],
  'src/store/random.ts': [properties],
  'src/store/random-name.ts': [globals],
  'src/store/random-bytes.ts': [builtins],
  'src/config/environment.ts': [globals, properties],
  'src/store/file-access.ts': [builtins],
  'src/store/file-promises.ts': [builtins],
  'src/store/socket.ts': [builtins],
  'src/store/fetch.ts': [globals],
  'src/store/thread.ts': [builtins],
  'src/store/child.ts': [builtins],
  'src/store/host.ts': [builtins],
  'src/cli/file-access.ts': [builtins],

  'src/store/console.ts': ['eslint(no-console)'],
  'src/store/floating-promise.ts': ['typescript(no-floating-promises)'],
  'src/store/floating.test.ts': ['typescript(no-floating-promises)'],
  'src/store/any.ts': ['typescript(no-explicit-any)'],
  'src/store/non-null.ts': ['typescript(no-non-null-assertion)'],
  'src/store/loose-equality.ts': ['eslint(eqeqeq)'],
  'src/store/thrown-text.ts': ['eslint(no-throw-literal)'],
  'src/store/open-switch.ts': ['typescript(switch-exhaustiveness-check)'],
  'src/store/unused-permit.ts': ['unused disable directive'],

  'src/store/parameters.ts': ['eslint(max-params)'],
  'src/store/depth.ts': ['eslint(max-depth)'],
  'src/store/complexity.ts': ['eslint(complexity)'],
  'src/store/long-file.ts': ['eslint(max-lines)'],
  'src/store/long.test.ts': ['eslint(max-lines)'],
  'src/store/long-function.ts': ['eslint(max-lines-per-function)'],
};

interface Diagnostic {
  readonly code?: string;
  readonly message: string;
  readonly filename: string;
}

describe('the linter on planted faults', () => {
  let directory = '';
  let reported = new Map<string, Set<string>>();

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'wombatkv lint '));
    cpSync(join(root, 'test/lint/planted'), directory, { recursive: true });
    plantLongFiles(directory);
    for (const name of ['oxlint.config.mjs', 'tsconfig.json', 'package.json']) {
      cpSync(join(root, name), join(directory, name));
    }
    symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
    reported = await lint(directory);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  for (const [file, rules] of Object.entries(faults)) {
    it(`reports ${file} by ${rules.join(' and ')}`, () => {
      assert.deepEqual([...(reported.get(file) ?? [])].sort(), [...rules].sort());
    });
  }

  it('reports no other file', () => {
    assert.deepEqual(
      [...reported.keys()].filter((file) => !(file in faults)),
      [],
    );
  });
});

/** One line more than is allowed, and files of just the length that is. */
function plantLongFiles(directory: string): void {
  const plant = (name: string, text: string): void =>
    writeFileSync(join(directory, 'src/store', name), text);
  const lines = (count: number): string => '// A line.\n'.repeat(count - 1) + 'export {};\n';
  const body = (count: number): string =>
    `export function long(): void {\n${'  // A line.\n'.repeat(count - 2)}}\n`;
  plant('long-file.ts', lines(401));
  plant('clean-file.ts', lines(400));
  plant('long.test.ts', lines(601));
  plant('clean-file.test.ts', lines(600));
  plant('long-function.ts', body(61));
  plant('clean-function.ts', body(60));
}

/** Runs oxlint as `npm run lint` does; for each file that it reports, the rules. */
async function lint(directory: string): Promise<Map<string, Set<string>>> {
  const oxlint = join(root, 'node_modules/oxlint/bin/oxlint');
  const options = [oxlint, '-c', 'oxlint.config.mjs', '-f', 'json'];
  // It exits with 1, as it must: there are faults.
  const { stdout } = await promisify(execFile)(process.execPath, options, {
    cwd: directory,
    maxBuffer: 16 * 1024 * 1024,
  }).catch((error: { readonly stdout: string }) => error);
  const report: { readonly diagnostics: readonly Diagnostic[] } = JSON.parse(stdout);
  const reported = new Map<string, Set<string>>();
  for (const { code, message, filename } of report.diagnostics) {
    const rules = reported.get(filename) ?? new Set();
    const isUnusedPermit = code === undefined && message.startsWith('Unused oxlint-disable');
    reported.set(filename, rules.add(isUnusedPermit ? 'unused disable directive' : (code ?? '')));
  }
  return reported;
}
