import { acceptedSettings } from './accepted-settings.ts';
import { bucketSettings } from './bucket-settings.ts';
import { doorSettings } from './door-settings.ts';
import { acceptedObjectStores } from './object-store-url.ts';
import { rustSettings } from './rust-settings.ts';
import type { EffectiveSetting, Setting } from './setting.ts';

/** Every variable of ours begins with this. */
export const settingPrefix = 'WMBT_KV_';

/** Those that every object store has. A default stands here as text and is tested against the code. */
const generalSettings: readonly EffectiveSetting[] = [
  {
    name: 'WMBT_KV_NAMESPACE',
    field: 'namespace',
    kind: 'text',
    default: 'default',
    accepts: '1 to 80 bytes of UTF-8',
    help: 'Name that keeps tenants apart. A call may name another.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_OBJECT_STORE',
    field: 'objectStore',
    kind: 'url',
    default: 'file://~/.wombatkv/objects',
    accepts: acceptedObjectStores,
    help:
      'Where blocks are kept for good. Wins over the S3 variables. ' +
      'Never inside the cache directory, nor around it.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_OBJECT_STORE_MAX_BYTES',
    field: 'objectStoreBytesMax',
    kind: 'bytes-or-off',
    default: '20 GiB',
    help:
      'Bound of the object store: least recently used chains go first, deepest blocks first. ' +
      'The default holds for a directory; others have no bound unless one is set.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_S3_PREFIX',
    field: 'keyPrefix',
    kind: 'text',
    default: 'kv/cabi',
    accepts: 'names joined by single slashes, at most 512 bytes; / alone for none',
    help: 'Prefix of every object key, in every kind of object store.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_PUFFER_DIR',
    field: 'cacheDirectory',
    kind: 'path',
    default: '~/.wombatkv/puffer',
    help: 'Cache directory. Several processes may share it; each owns one sub-directory.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_PUFFER_RAM_BYTES',
    field: 'memoryBytes',
    kind: 'bytes',
    default: '1 GiB',
    help: 'Budget of the memory tier, per process.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_PUFFER_DISK_BYTES',
    field: 'diskBytes',
    kind: 'bytes',
    default: '8 GiB',
    help:
      'Budget of the disk tier, per process; a thirty-second of it is kept for the catalog. With 0 there ' +
      'is no disk tier, and a save returns when the object store confirmed.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_BLOCK_COMPRESS',
    field: 'compression',
    kind: 'choice',
    choices: { zstd: 'zstd', off: 'off', none: 'off', '0': 'off', lz4: 'zstd' },
    default: 'zstd',
    accepts: 'zstd, off, none, 0, lz4',
    help:
      'Compression of blocks in the object store; never kept where it does not pay. ' +
      '`none` and `0` mean `off`; `lz4` is read as `zstd`, with a line.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_BLOCK_COMPRESS_LEVEL',
    field: 'compressionLevel',
    kind: 'count',
    default: '1',
    accepts: 'a whole number from 1 to 22',
    help: 'Level of zstd. With `WMBT_KV_WRITE_FORMAT=v1` the default is 3.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_READ_V1',
    field: 'readV1',
    kind: 'choice',
    choices: { auto: 'auto', on: 'on', off: 'off' },
    default: 'auto',
    accepts: 'auto, on, off',
    help:
      'Read objects of the Rust version. `auto`: in namespaces that hold one when the process first ' +
      'has to know, by one list of one key. `on`: everywhere, as is needed where both versions ' +
      'write. `off`: nowhere; not together with `WMBT_KV_WRITE_FORMAT=v1`.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_WRITE_FORMAT',
    field: 'writeFormat',
    kind: 'choice',
    choices: { v1: 'v1', v2: 'v2' },
    default: 'v2',
    accepts: 'v1, v2',
    help:
      '`v1` writes what the Rust version reads, and reads it everywhere. What that format cannot ' +
      'say is written as `v2`: tails bound to tokens, and blocks with decoded tokens.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_PUT_DURABLE',
    field: 'putDurable',
    kind: 'boolean',
    default: 'off',
    help: 'On: a save returns when the object store confirmed, also where the call did not ask.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_LOOKUP_DEADLINE_MS',
    field: 'lookupDeadlineMs',
    kind: 'milliseconds',
    default: '250',
    help: 'Time that a lookup may take; then it answers what it knows.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_LOAD_DEADLINE_MS',
    field: 'loadDeadlineMs',
    kind: 'milliseconds',
    default: '10000',
    help: 'Time that a load may take; then it returns the leading blocks that it has.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_REMOTE_CALL_TIMEOUT_MS',
    field: 'callDeadlineMsMax',
    kind: 'milliseconds',
    default: '30000',
    help: 'Cap on the deadline of every call but flush.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
  {
    name: 'WMBT_KV_NATIVE',
    field: 'native',
    kind: 'choice',
    choices: { auto: 'auto', off: 'off', '0': 'off' },
    default: 'auto',
    accepts: 'auto, off, 0',
    help:
      '`auto`: native code where it was built for this platform (`wombatkv build-native`). `off`: ' +
      'none. Values are the same either way.',
    readBy: ['library', 'daemon'],
    effect: 'now',
  },
];

/** Settings of the store that this version obeys. */
export const effectiveSettings: readonly EffectiveSetting[] = [
  ...generalSettings,
  ...bucketSettings,
];

/** Every variable that is known: obeyed, refused or only accepted. Names are unique. */
export const settings: readonly Setting[] = [
  ...effectiveSettings,
  ...doorSettings,
  ...acceptedSettings,
  ...rustSettings,
];

/** The setting of that name, or undefined for a name that nobody knows. */
export function findSetting(name: string): Setting | undefined {
  return settings.find((setting) => setting.name === name);
}
