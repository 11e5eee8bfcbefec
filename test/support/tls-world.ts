import { Access } from '../../src/daemon/access.ts';
import { FrameTransport } from '../../src/daemon/frame-transport.ts';
import { HttpTransport } from '../../src/daemon/http-transport.ts';
import { tcpBinder } from '../../src/daemon/tcp-binder.ts';
import { TlsIdentity } from '../../src/platform/tls-identity.ts';
import type { KvStoreHarness } from '../conformance/kv-store-harness.ts';
import { CertificateMaker, pemOf } from './certificates.ts';
import { doorHarness } from './daemon-world.ts';
import type { WorldDoors } from './daemon-world.ts';
import type { BucketOpener } from './in-process-world.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';

/** What worlds with TLS share: a certificate for this host, and a file with its authority. */
export interface TlsParts {
  readonly identity: TlsIdentity;
  readonly caFile: string;
  remove(): Promise<void>;
}

export async function makeTlsParts(): Promise<TlsParts> {
  const directory = await makeTemporaryDirectory('tls-world');
  const maker = new CertificateMaker(directory.path);
  const authority = await maker.authority('ca');
  const signed = await maker.signed('daemon', authority, { names: 'IP:127.0.0.1' });
  return {
    identity: new TlsIdentity(await pemOf(signed)),
    caFile: authority.certFile,
    remove: () => directory.remove(),
  };
}

/** Worlds whose stores stand behind a daemon and are used over TLS, with a token. */
export function tlsHarness(
  openBucket: BucketOpener,
  door: 'tls' | 'https',
): KvStoreHarness & { close(): Promise<void> } {
  const parts = makeTlsParts();
  const harness = doorHarness(
    openBucket,
    parts.then((made) => doorsOf(door, made)),
  );
  return {
    ...harness,
    close: async () => {
      await harness.close();
      await (await parts).remove();
    },
  };
}

const token = 'conformance-token';

function doorsOf(door: 'tls' | 'https', { identity, caFile }: TlsParts): WorldDoors {
  const everything = new Set(['read', 'write', 'delete', 'admin'] as const);
  const access = new Access([{ token, name: 'all', verbs: everything, namespaces: 'all' }]);
  const free = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
  return {
    open: () =>
      door === 'tls'
        ? new FrameTransport(tcpBinder(free, identity), access)
        : new HttpTransport({ addresses: [free], access, identity }),
    options: { token, tlsCaFile: caFile },
  };
}
