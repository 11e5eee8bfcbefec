import assert from 'node:assert/strict';
import { directHttp } from '../../src/http/direct-http.ts';
import type { S3Settings } from '../../src/objectstore/s3/open-s3.ts';
import type { Platform } from '../../src/platform/platform.ts';

/** The same bucket by the name of its host, of a URL whose endpoint is an address of this machine. */
export function virtualHostUrl(url: string, domain: string): string {
  const named = url.replace('//127.0.0.1:', `//${domain}:`);
  assert.notEqual(named, url, `${url} is on this machine`);
  return named;
}

/**
 * Settings by which the bucket is asked for as a part of the host's name. Nobody resolves that name: connections go to
 * this machine, and requests say it.
 */
export function virtualHostSettings(platform: Platform, domain: string): S3Settings {
  const http = directHttp(platform);
  return {
    isPathStyle: false,
    http: {
      open: (options) => {
        const { protocol, hostname, port } = new URL(options.origin);
        assert.ok(hostname.endsWith(`.${domain}`), `${hostname} names a bucket`);
        return http.open({ ...options, origin: `${protocol}//127.0.0.1:${port}` });
      },
    },
  };
}
