import { doorSettings } from './door-settings.ts';
import { acceptedText, unitOf } from './setting.ts';
import type { Setting, SettingEffect } from './setting.ts';
import { effectiveSettings, settings } from './settings.ts';

/** The text of docs/CONFIG.md, made from the table of settings. */
export function settingsPage(): string {
  return [
    introduction,
    '## What has effect',
    table(
      ['variable', 'default', 'unit', '`StoreConfig` field', 'meaning', 'accepted'],
      effectiveSettings.map((setting) => [
        code(setting.name),
        code(setting.default),
        unitOf(setting.kind) ?? '',
        code(setting.field),
        setting.help,
        acceptedText(setting),
      ]),
    ),
    '## Daemons and their clients',
    doors,
    shortTable(doorSettings),
    values,
    '## Of the C library alone',
    cLibrary,
    shortTable(ofEffect('c-library')),
    '## Names of the Rust version and its engine',
    foreign,
    shortTable(ofEffect('accepted')),
    typedConfiguration,
    examples,
  ]
    .join('\n\n')
    .concat('\n');
}

const introduction = `# Settings

This page is generated from \`src/config/settings.ts\` by \`npm run gen\`.

The store reads its settings from the environment (\`configFromEnvironment\`), or takes them as a typed
\`StoreConfig\`. What is given in code or by a flag wins over the environment, and the environment over
the defaults. An empty value counts as unset.`;

const values = `## How values are written

- **Bytes**: a whole number, alone or with a unit: \`1073741824\`, \`1GiB\`, \`1 GiB\`, \`1G\`. \`K\`, \`M\`,
  \`G\` and \`T\` are the powers of 1024, the same as \`KiB\` to \`TiB\`, in either case. \`KB\` and the like
  are refused. A budget is at least 4 KiB, so that a forgotten unit is noticed.
- **Off for a limit**: \`off\`, \`none\` or \`0\`.
- **Milliseconds**: a whole number, at least 1.
- **Booleans**: \`1\`, \`true\`, \`yes\`, \`on\`, or \`0\`, \`false\`, \`no\`, \`off\`, in either case.
- **Paths**: absolute, or with \`~/\` for the home directory.
- **Object stores**: \`file:///path\` with percent-encoding (a space is \`%20\`), \`file://~/path\` below the
  home directory, \`s3://bucket/prefix\` with \`?endpoint=http://host:port\` where it is not AWS
  ([OBJECT-STORES](OBJECT-STORES.md)), or \`memory:\`, which ends with the process. The directory of the object store and
  the cache directory must not lie inside one another. Paths are compared as text, so a symbolic
  link between them is not noticed.

A value that does not parse is an error that names the variable, the value and what is accepted.
Values of secrets, and credentials in a URL, are never shown.

A name that begins with \`WMBT_KV_\` and is not on this page is an error in the command line. In the
library, which shares the engine's environment, it is one line with the nearest known name.`;

const doors = `\`openFromEnvironment()\` opens the store in this process unless one of the first two is set. The daemon's
flags win over these.`;

const cLibrary = `Without a daemon the C library starts a store of its own ([OPERATING](OPERATING.md)).`;

const foreign = `These mean something to the Rust version only, or to the engine that reads them itself. They are
known, and are not parsed. Those that are set are named once, together in one line. Of \`AWS_*\` variables
the three of credentials are read, and the others by what looks for credentials.`;

const typedConfiguration = `## The typed configuration

\`resolveStoreConfig\` fills what a \`StoreConfig\` leaves out and checks every field. Of the Rust crate's
\`CabiConfig\`:

${table(
  ['`CabiConfig`', '`StoreConfig`'],
  [
    ['`namespace`', '`namespace`'],
    ['`s3_prefix`', '`keyPrefix`'],
    ['`puffer_dir`', '`cacheDirectory` (`false`: no disk tier)'],
    ['`puffer_ram_bytes`', '`memoryBytes`'],
    ['`puffer_disk_bytes`', '`diskBytes` (`0`: no disk tier)'],
    ['`remote_prefix`, `tcp_addr`, `http_addr`', 'none: `connect()` is given the address'],
    ['`puffer_block_size_bytes`, `slatedb_path`', 'none: this store has no such part'],
  ],
)}`;

const examples = `## Examples

A directory on a large disk, at most 200 GiB, and a small cache:

\`\`\`sh
export WMBT_KV_OBJECT_STORE=file:///srv/wombatkv
export WMBT_KV_OBJECT_STORE_MAX_BYTES=200GiB
export WMBT_KV_PUFFER_DIR=/var/cache/wombatkv
export WMBT_KV_PUFFER_DISK_BYTES=16GiB
export WMBT_KV_PUFFER_RAM_BYTES=512MiB
\`\`\`

A bucket of an S3 server in the house:

\`\`\`sh
export WMBT_KV_OBJECT_STORE=s3://kv-cache
export WMBT_KV_S3_ENDPOINT=https://minio.example.org:9000
export WMBT_KV_S3_CA_FILE=/etc/ssl/house.pem
export WMBT_KV_S3_ACCESS_KEY=… WMBT_KV_S3_SECRET_KEY=…
\`\`\`

The first in code:

\`\`\`ts
const config: StoreConfig = {
  objectStore: 'file:///srv/wombatkv',
  objectStoreBytesMax: 200 * 1024 ** 3,
  cacheDirectory: '/var/cache/wombatkv',
  diskBytes: 16 * 1024 ** 3,
  memoryBytes: 512 * 1024 ** 2,
};
\`\`\`

A save that returns when the object store has it, in a namespace of its own:

\`\`\`sh
export WMBT_KV_PUT_DURABLE=on
export WMBT_KV_NAMESPACE=team-a
\`\`\``;

function ofEffect(effect: SettingEffect): readonly Setting[] {
  return settings.filter((setting) => setting.effect === effect);
}

function shortTable(rows: readonly Setting[]): string {
  return table(
    ['variable', 'default', 'unit', 'read by', 'meaning'],
    rows.map((setting) => [
      code(setting.name),
      code(setting.default),
      unitOf(setting.kind) ?? '',
      setting.readBy.join(', '),
      setting.help,
    ]),
  );
}

function code(text: string): string {
  return text === '' ? '' : `\`${text}\``;
}

/** A table with its columns aligned, so that the file reads well as text too. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = header.map((_, column) =>
    Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const lines = cells.map((row) => tableLine(row.map((cell, i) => cell.padEnd(widths[i] ?? 0))));
  const rule = tableLine(widths.map((width) => '-'.repeat(width)));
  return [...lines.slice(0, 1), rule, ...lines.slice(1)].join('\n');
}

function tableLine(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
