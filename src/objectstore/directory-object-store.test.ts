import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after } from 'node:test';
import { objectStoreSuite, RaceFleet } from '../../test/conformance/object-store-suite.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { fileUrlOf } from './file-url.ts';
import { openObjectStore } from './open-object-store.ts';

/** Room for the largest bodies of the suite, several times. */
const freeBytesMin = 1024 * 1024 * 1024;

const platform = nodePlatform();
const directory = await mkdtemp(`${await fastDirectory()}/wombatkv-objects-`);

/**
 * A file system in memory where there is room: thousands of puts, each with its syncs, take a tenth
 * of the time there. What needs a disk is in directory-object-store-files.test.ts.
 */
async function fastDirectory(): Promise<string> {
  const { memoryDirectory } = platform.host;
  if (memoryDirectory === undefined) return tmpdir();
  return (await platform.files.freeBytes(memoryDirectory)) > freeBytesMin
    ? memoryDirectory
    : tmpdir();
}

/** The platform without and with native code, which carries out a put in one go. */
const platforms = [
  { name: 'directory', platform },
  { name: 'directory, native', platform: withNative(platform, 'auto') },
];

for (const { name, platform: used } of platforms) {
  const fleet = new RaceFleet();
  objectStoreSuite(name, {
    // A path with a space and a percent sign, which the URL must carry.
    open: () => Promise.resolve(openObjectStore(fileUrlOf(`${directory}/100% of ${name}`), used)),
    racePuts: (store, race) => fleet.race(store.url, race),
    cleanup: async () => {
      await fleet.close();
      await rm(`${directory}/100% of ${name}`, { recursive: true, force: true });
    },
  });
}

after(() => rm(directory, { recursive: true, force: true }));
