import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fuzzTargets } from '../../tools/capi-fuzz.ts';
import { projectRoot } from '../../tools/project.ts';
import { cSource } from './c-constants.ts';
import { fuzzPlants } from './fuzz-plants.ts';

/**
 * Goal: no decoder of the C library is without a fuzz target. Method: every function that a header declares and whose name
 * says that it reads what others wrote is called by a file of capi/test/fuzz, or stands below with what it is reached by.
 */
const folders = ['src', 'src/shared', 'src/library'];
const names =
  /decode|parse|json|_open$|announced|receive|_read_|_read$|trailer|chunk|head_end|check_table|ring_use$|next_loans|find|owner$|refuse$|are_stored|settings_path|check_namespace/;

/** Reached by what a target calls, which is named; in the text of the library it calls the function. */
const behind: Readonly<Record<string, readonly [caller: string, file: string]>> = {
  wmbt_index_open: ['wmbt_view_use', 'src/library/shared-view.c'],
  wmbt_index_find: ['wmbt_reader_find', 'src/shared/shared-index.c'],
  wmbt_index_find_leading: ['wmbt_reader_find', 'src/library/shared-reader.c'],
  wmbt_view_owner: ['wmbt_reader_find', 'src/library/shared-reader.c'],
  wmbt_http_read_summed: ['wmbt_http_read', 'src/library/http-exchange.c'],
  wmbt_json_is_word: ['wmbt_http_read_stored', 'src/library/http-small.c'],
  wmbt_read_bytes: ['wmbt_decode_welcome', 'src/library/messages.c'],
  wmbt_read_u16: ['wmbt_decode_welcome', 'src/library/messages.c'],
  wmbt_read_u32: ['wmbt_decode_ring', 'src/library/messages.c'],
  wmbt_read_u64: ['wmbt_decode_saved', 'src/library/messages.c'],
  wmbt_read_u8: ['wmbt_decode_loaded', 'src/library/messages.c'],
};

/** They decode nothing that others wrote, whatever their names say. */
const ofOthers: readonly string[] = [
  // They open a handle or a connection, or find a program.
  'wmbt_embedded_open',
  'wmbt_http_open',
  'wmbt_private_store_open',
  'wmbt_remote_open',
  'wmbt_shared_open',
  'wmbt_program_find',
  // It reads what this process keeps to itself.
  'wmbt_known_find_leading',
];

function filesIn(folder: string, ending: string): readonly string[] {
  const entries = readdirSync(join(projectRoot(), 'capi', folder), { withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map(({ name }) => `${folder}/${name}`);
}

/** Functions that a header declares or defines. */
function declaredIn(path: string): readonly string[] {
  const text = cSource(path).replaceAll(/\/\*.*?\*\//gs, '');
  return Array.from(text.matchAll(/^[a-z][\w *]*\b(wmbt_\w+)\(/gm), ([, name = '']) => name);
}

describe('the fuzz targets', () => {
  const targets = filesIn('test/fuzz', '.c');
  const called = targets.map((path) => cSource(path)).join('\n');

  it('are all run by the lane', () => {
    assert.deepEqual(
      targets.map((path) => path.replace(/^.*\/(.*)\.c$/, '$1')).sort(),
      [...fuzzTargets].sort(),
    );
  });

  it('call every decoder', () => {
    const declared = folders.flatMap((folder) => filesIn(folder, '.h')).flatMap(declaredIn);
    const decoders = [...new Set(declared)].filter((name) => names.test(name));
    assert.ok(decoders.length > 30, 'the headers are read');
    const without = decoders.filter(
      (name) =>
        !new RegExp(`\\b${name}\\(`).test(called) && !(name in behind) && !ofOthers.includes(name),
    );
    assert.deepEqual(without, [], 'no target calls them');
    const known = new Set(declared);
    const gone = [...Object.keys(behind), ...ofOthers].filter((name) => !known.has(name));
    assert.deepEqual(gone, [], 'the lists name nothing that is gone');
  });

  it('have faults that each must find, whose text is in its file once', () => {
    for (const name of fuzzTargets) {
      const count = fuzzPlants.filter(({ target }) => target === name).length;
      assert.ok(count >= 3, `${name} has ${count}`);
    }
    for (const { name, change } of fuzzPlants) {
      const parts = cSource(change.file.replace(/^capi\//, '')).split(change.from);
      assert.equal(parts.length, 2, `${name}: ${change.file}`);
    }
  });

  it('reach what lies behind them', () => {
    for (const [name, [caller, file]] of Object.entries(behind)) {
      assert.match(cSource(file), new RegExp(`\\b${name}\\(`), `${file} calls ${name}`);
      assert.match(called, new RegExp(`\\b${caller}\\(`), `a target calls ${caller}`);
    }
  });
});
