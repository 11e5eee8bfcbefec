import { openS3 } from '../../../src/objectstore/s3/open-s3.ts';
import type { S3Settings } from '../../../src/objectstore/s3/open-s3.ts';
import type { S3ObjectStore } from '../../../src/objectstore/s3/s3-object-store.ts';
import { nodePlatform } from '../../../src/platform/node-platform.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import { S3Server } from './s3-server.ts';
import type { S3ServerOptions } from './s3-server.ts';

/** A server of ours and a store on it. */
export interface OpenedS3 {
  readonly server: S3Server;
  readonly store: S3ObjectStore;
  close(): Promise<void>;
}

export interface OpenedS3Options {
  readonly server?: S3ServerOptions | undefined;
  readonly settings?: S3Settings | undefined;
  /** Changes the platform of the store. */
  readonly platform?: Partial<Platform> | undefined;
  /** The server has `wombat` and no other. */
  readonly bucket?: string | undefined;
  /** What stands behind the bucket in the URL. */
  readonly path?: string | undefined;
}

/** Starts a server and opens its bucket with the keys that it takes. */
export async function openedS3(options: OpenedS3Options = {}): Promise<OpenedS3> {
  const server = await S3Server.start(options.server);
  const platform = { ...nodePlatform(), environment: {}, ...options.platform };
  const { bucket = 'wombat', path = '' } = options;
  const url = `s3://${bucket}${path}?endpoint=${server.endpoint}`;
  const keys = { accessKey: 'test', secretKey: 'testtest' };
  const store = openS3(url, platform, { ...keys, ...options.settings });
  return {
    server,
    store,
    async close() {
      await store.close();
      await server.close();
    },
  };
}
