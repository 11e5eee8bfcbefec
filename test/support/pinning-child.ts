import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { SharedReader } from '../../src/cache/shared-reader.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';

/**
 * A client of shared memory that dies while it pins. Arguments: the directory, the namespace, keys.
 * Prints how many it pinned, then kills itself.
 */
const [directory, namespace, ...keys] = process.argv.slice(2);
const { sharedMemory } = withNative(nodePlatform(), 'auto');
const reader = sharedMemory === undefined ? undefined : SharedReader.open(sharedMemory, directory);
const wish = { exact: false, fingerprint: undefined };
const pins = reader?.pin(parseNamespace(namespace), keys.map(parseBlockKey), wish);
process.stdout.write(String(pins?.blocks.length ?? 'no memory'), () => {
  process.kill(process.pid, 'SIGKILL');
});
