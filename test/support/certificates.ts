import { execFile } from 'node:child_process';
import { writeFile, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { TlsPem } from '../../src/platform/tls-identity.ts';

const run = promisify(execFile);

/** A certificate and its key in files, made by openssl for one test. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Makes certificates in a directory: an authority, and what it signs. */
export class CertificateMaker {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** A certificate that is its own authority. */
  async authority(name: string): Promise<Certificate> {
    const made = this.#filesOf(name);
    await openssl([
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-keyout', made.keyFile, '-out', made.certFile, '-days', '2', '-subj', `/CN=${name}`],
      ...['-addext', 'basicConstraints=critical,CA:TRUE'],
    ]);
    return made;
  }

  /** A certificate by the authority for these names; `days` may be negative: it has expired then. */
  async signed(
    name: string,
    by: Certificate,
    options: { readonly names: string; readonly hasExpired?: boolean },
  ): Promise<Certificate> {
    const made = this.#filesOf(name);
    const request = `${this.#directory}/${name}.csr`;
    const extensions = `${this.#directory}/${name}.ext`;
    await writeFile(extensions, `subjectAltName=${options.names}\n`);
    await openssl([
      ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-keyout', made.keyFile, '-out', request, '-subj', `/CN=${name}`],
    ]);
    await openssl([
      ...['x509', '-req', '-in', request, '-out', made.certFile, '-extfile', extensions],
      ...['-CA', by.certFile, '-CAkey', by.keyFile, '-CAcreateserial'],
      ...['-days', options.hasExpired === true ? '-1' : '2'],
    ]);
    return made;
  }

  #filesOf(name: string): Certificate {
    const base = `${this.#directory}/${name}`;
    return { certFile: `${base}.crt`, keyFile: `${base}.key` };
  }
}

export async function pemOf({ certFile, keyFile }: Certificate): Promise<TlsPem> {
  return { certificate: await readFile(certFile), key: await readFile(keyFile) };
}

async function openssl(words: readonly string[]): Promise<void> {
  await run('openssl', words);
}
