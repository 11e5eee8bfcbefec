import { messageOf, StoreError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import { readTokenFile } from '../config/token-file.ts';
import type { Files } from '../platform/files.ts';
import { TlsIdentity } from '../platform/tls-identity.ts';
import type { TlsPem } from '../platform/tls-identity.ts';
import { Access } from './access.ts';
import type { ReloadedFiles } from './reloaded-files.ts';

/** Files that say who may do what, and what the daemon shows of itself; each may be absent. */
export interface SecurityFiles {
  readonly tokenFile: string | undefined;
  readonly tlsCertFile: string | undefined;
  readonly tlsKeyFile: string | undefined;
}

/** Who may do what, and the certificate if there is one. Both follow their files. */
export interface Security {
  readonly access: Access;
  readonly identity: TlsIdentity | undefined;
}

/** Bits of a file's mode by which others than its owner and group get at it. */
const openToOthers = 0o007;

/**
 * Reads the files, and again when they change.
 *
 * @throws StoreError `INVALID` naming the file that is wrong, or the setting that is missing.
 */
export async function openSecurity(
  paths: SecurityFiles,
  files: Files,
  reloaded: ReloadedFiles,
  logger: Logger,
): Promise<Security> {
  const access = await openAccess(paths.tokenFile, files, reloaded, logger);
  return { access, identity: await openIdentity(paths, files, reloaded, logger) };
}

async function openAccess(
  path: string | undefined,
  files: Files,
  reloaded: ReloadedFiles,
  logger: Logger,
): Promise<Access> {
  const access = new Access();
  if (path === undefined) return access;
  await reloaded.add('tokens', [path], async () => {
    access.replace(await readTokenFile(files, path));
    await tellIfOpen(path, files, logger);
  });
  return access;
}

async function openIdentity(
  { tlsCertFile, tlsKeyFile }: SecurityFiles,
  files: Files,
  reloaded: ReloadedFiles,
  logger: Logger,
): Promise<TlsIdentity | undefined> {
  if (tlsCertFile === undefined && tlsKeyFile === undefined) return undefined;
  if (tlsCertFile === undefined || tlsKeyFile === undefined) {
    const missing = tlsCertFile === undefined ? 'WMBT_KV_TLS_CERT_FILE' : 'WMBT_KV_TLS_KEY_FILE';
    throw new StoreError('INVALID', `${missing} is not set: TLS needs a certificate and its key`);
  }
  let identity: TlsIdentity | undefined;
  await reloaded.add('certificate', [tlsCertFile, tlsKeyFile], async () => {
    const pem = {
      certificate: await readPem(files, 'certificate', tlsCertFile),
      key: await readPem(files, 'key', tlsKeyFile),
    };
    identity = take(identity, pem, `${tlsCertFile} and ${tlsKeyFile}`);
    await tellIfOpen(tlsKeyFile, files, logger);
  });
  return identity;
}

function take(before: TlsIdentity | undefined, pem: TlsPem, paths: string): TlsIdentity {
  try {
    if (before === undefined) return new TlsIdentity(pem);
    before.replace(pem);
    return before;
  } catch (cause) {
    const why = `are no certificate and key of each other: ${messageOf(cause)}`;
    throw new StoreError('INVALID', `${paths} ${why}`, { cause });
  }
}

async function readPem(files: Files, what: string, path: string): Promise<Uint8Array> {
  try {
    return await files.readSmall(path, limits.pemFileBytesMax);
  } catch (cause) {
    const message = `TLS ${what} ${path} cannot be read: ${messageOf(cause)}`;
    throw new StoreError('INVALID', message, { cause });
  }
}

async function tellIfOpen(path: string, files: Files, logger: Logger): Promise<void> {
  const { permissions = 0 } = (await files.status(path)) ?? {};
  if ((permissions & openToOthers) === 0) return;
  const mode = permissions.toString(8).padStart(4, '0');
  logger.info('secrets are open to others', { path, mode });
}
