import { after, describe } from 'node:test';
import { cachedLibrary } from '../../../tools/capi-build.ts';
import { kvStoreSuite } from '../../conformance/kv-store-suite.ts';
import { withoutNative } from '../../support/c-compiler.ts';
import { testToolchain } from '../c-program.ts';
import { cHarness } from './c-world.ts';
import type { CDoor } from './c-world.ts';

const names: Readonly<Record<CDoor, string>> = {
  shm: 'the memory that a daemon shares',
  unix: 'a Unix socket',
  tcp: 'TCP',
  http: 'HTTP',
  embedded: 'a store of its own',
};

/**
 * Goal: the C library is held to the contract that every other client is held to, by the same cases.
 * Method: the functions of ABI 1.1 are called from here through a foreign function interface, one for each
 * method of `KvStore`; stores and daemons are in another process.
 */
export function registerCStoreSuite(door: CDoor): void {
  // A sanitizer's library cannot be loaded into a process that was not built with it.
  const isSanitized = testToolchain().flavour !== 'plain';
  const skip = isSanitized ? 'left to another lane: npm run test' : withoutNative();
  describe('the C library', { skip }, () => {
    const built = cachedLibrary({ ...testToolchain(), flavour: 'plain' });
    const harness = cHarness(
      built.then(({ shared }) => shared),
      door,
    );
    after(() => harness.close());

    kvStoreSuite(`the C library over ${names[door]}`, harness);
  });
}
