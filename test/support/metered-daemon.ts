import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from '../../src/client/connect.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { CertificateMaker } from './certificates.ts';
import { chainOf } from './chains.ts';
import { patience } from './patience.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';

/** A daemon in a process of its own with everything on that has metrics, after some calls. */
export interface MeteredDaemon {
  /** What `/metrics` answers. */
  readonly metrics: () => Promise<string>;
  /** The daemon's directory. */
  readonly path: string;
  close(): Promise<void>;
}

export async function startMeteredDaemon(): Promise<MeteredDaemon> {
  const directory = await makeTemporaryDirectory('metered');
  const { path } = directory;
  const maker = new CertificateMaker(path);
  const authority = await maker.authority('ca');
  const { certFile, keyFile } = await maker.signed('d', authority, { names: 'IP:127.0.0.1' });
  const tokens = 'root-token\nadmin-token name=prometheus verbs=admin\n';
  writeFileSync(`${path}/tokens`, tokens, { mode: 0o600 });
  const daemon = new DaemonProcess(['--tcp', '127.0.0.1:0', '--http', '127.0.0.1:0'], {
    HOME: path,
    WMBT_KV_RUNTIME_DIR: `${path}/run`,
    // A bucket has a price. Nobody is there: opening asks nothing, and saves are accepted.
    WMBT_KV_OBJECT_STORE: 's3://bucket?endpoint=http://127.0.0.1:9',
    WMBT_KV_S3_ACCESS_KEY: 'key',
    WMBT_KV_S3_SECRET_KEY: 'secret',
    WMBT_KV_DAEMON_SHUTDOWN_DRAIN_TIMEOUT_SECS: '1',
    WMBT_KV_TOKEN_FILE: `${path}/tokens`,
    WMBT_KV_TLS_CERT_FILE: certFile,
    WMBT_KV_TLS_KEY_FILE: keyFile,
  });
  const [tls, https] = await daemon.ready();
  const trust = { token: 'root-token', tlsCaFile: authority.certFile };
  await useStore(tls, trust);
  const ca = readFileSync(authority.certFile);
  return {
    path,
    metrics: () => fetchText(`${https}/metrics`, ca),
    async close() {
      await daemon.stop('SIGKILL');
      await directory.remove();
    },
  };
}

async function useStore(
  url: string,
  trust: { readonly token: string; readonly tlsCaFile: string },
): Promise<void> {
  const chain = chainOf('metered', 3, 20_000);
  const client = await connect(url, { ...trust, ...patience });
  await client.save(chain.blocks);
  (await client.load(chain.keys)).release();
  await client.lookup(chain.keys);
  await client.loadRawTail(chain.keys[0], { deadlineMs: 200 }).catch(() => undefined);
  await client.close();
}

function fetchText(url: string, ca: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: 'Bearer admin-token' };
    const asked = request(url, { ca, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(text);
        else reject(new Error(`status ${answer.statusCode}: ${text}`));
      });
    });
    asked.on('error', reject).end();
  });
}
