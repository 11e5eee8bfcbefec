import { after } from 'node:test';
import { objectStoreSuite, RaceFleet } from '../../../test/conformance/object-store-suite.ts';
import { S3Server } from '../../../test/support/s3-server/s3-server.ts';
import { virtualHostSettings, virtualHostUrl } from '../../../test/support/virtual-host.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import { openS3 } from './open-s3.ts';

const mib = 1024 * 1024;

// The contenders of races are processes that find the credentials where programs of AWS do.
process.env['AWS_ACCESS_KEY_ID'] = 'test';
process.env['AWS_SECRET_ACCESS_KEY'] = 'testtest';
const platform = nodePlatform();
const fleet = new RaceFleet();
after(() => fleet.close());

const plain = await S3Server.start();
const plainUrl = `s3://wombat?endpoint=${plain.endpoint}`;
objectStoreSuite('S3 on our own server', {
  open: () => Promise.resolve(openS3(plainUrl, platform)),
  racePuts: (store, race) => fleet.race(store.url, race),
  cleanup: () => plain.close(),
});

const domain = 's3.test';
const named = await S3Server.start({ virtualHost: domain });
const namedUrl = virtualHostUrl(`s3://wombat?endpoint=${named.endpoint}`, domain);
objectStoreSuite('S3 by the name of the bucket’s host, on our own server', {
  open: () => Promise.resolve(openS3(namedUrl, platform, virtualHostSettings(platform, domain))),
  racePuts: (store, race) => fleet.race(store.url, race, domain),
  cleanup: () => named.close(),
});

// Everything that is larger than a part goes in parts, in both directions.
const cutting = await S3Server.start({
  partBytesMin: 1,
  conditions: 'unquoted',
  checksums: 'unknown',
});
const cuttingUrl = `s3://wombat?endpoint=${cutting.endpoint}`;
objectStoreSuite('S3 in parts, on a server like radosgw', {
  open: () =>
    Promise.resolve(
      openS3(cuttingUrl, platform, {
        sizes: { multipartBytesMin: 3 * mib, parallelGetBytesMin: mib, partBytes: mib },
      }),
    ),
  racePuts: (store, race) => fleet.race(store.url, race),
  cleanup: () => cutting.close(),
});
