import assert from 'node:assert/strict';
import { after } from 'node:test';
import { objectStoreSuite, RaceFleet } from '../../../test/conformance/object-store-suite.ts';
import { virtualHostSettings, virtualHostUrl } from '../../../test/support/virtual-host.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import { openObjectStore } from '../open-object-store.ts';
import { RetryingObjectStore } from '../retrying-object-store.ts';
import { openS3 } from './open-s3.ts';

const mib = 1024 * 1024;

// The lane that starts the server gives its place, and its keys where programs of AWS look.
const url = process.env['WOMBATKV_TEST_S3_URL'] ?? '';
assert.notEqual(url, '', 'started by npm run s3');
const platform = nodePlatform();
const fleet = new RaceFleet();
after(() => fleet.close());

// With the wrappers of every bucket: radosgw 16 answers 500 to some of several puts of one tag at one
// moment, which the contract permits and a case does not expect.
objectStoreSuite('S3 on radosgw', {
  open: () => Promise.resolve(openObjectStore(url, platform)),
  racePuts: (store, race) => fleet.race(store.url, race),
  cleanup: () => Promise.resolve(),
});

// Below this name the lane's server has buckets as hosts.
const domain = process.env['WOMBATKV_TEST_S3_DOMAIN'] ?? '';
assert.notEqual(domain, '', 'started by npm run s3');
const s3 = virtualHostSettings(platform, domain);
objectStoreSuite('S3 by the name of the bucket’s host, on radosgw', {
  open: () => Promise.resolve(openObjectStore(virtualHostUrl(url, domain), platform, { s3 })),
  racePuts: (store, race) => fleet.race(store.url, race, domain),
  cleanup: () => Promise.resolve(),
});

// The smallest parts that an S3 server takes.
const sizes = { multipartBytesMin: 6 * mib, parallelGetBytesMin: 6 * mib, partBytes: 5 * mib };
objectStoreSuite('S3 in parts on radosgw', {
  open: () => Promise.resolve(new RetryingObjectStore(openS3(url, platform, { sizes }), platform)),
  racePuts: (store, race) => fleet.race(store.url, race),
  cleanup: () => Promise.resolve(),
});
