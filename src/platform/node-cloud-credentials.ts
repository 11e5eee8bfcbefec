import { StoreError, systemErrorCode } from '../base/errors.ts';
import type { CloudCredentials, CloudIdentity } from './cloud-credentials.ts';

/** An optional peer: most stores have their keys in settings, and it is large. */
const packageName = '@aws-sdk/credential-providers';

/** What the package gives, as far as it is used here. */
type Provider = () => Promise<{
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}>;

/** The chain of AWS's own library, which is loaded when it is first asked. */
export const nodeCloudCredentials: CloudCredentials = {
  async fetch(): Promise<CloudIdentity> {
    const provider = await loadProvider(() => import(packageName));
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await provider();
    return { accessKeyId, secretAccessKey, sessionToken, expiresMs: expiration?.getTime() };
  },
};

/**
 * The provider of the module that `load` gives.
 *
 * @throws StoreError `INVALID` saying what to set or install.
 */
export async function loadProvider(load: () => Promise<unknown>): Promise<Provider> {
  let module: unknown;
  try {
    module = await load();
  } catch (error) {
    if (systemErrorCode(error) !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new StoreError(
      'INVALID',
      'no S3 credentials: set WMBT_KV_S3_ACCESS_KEY and WMBT_KV_S3_SECRET_KEY, or AWS_ACCESS_KEY_ID ' +
        `and AWS_SECRET_ACCESS_KEY, or install ${packageName}, which looks in the other usual places`,
      { cause: error },
    );
  }
  if (hasChain(module)) return module.fromNodeProviderChain();
  throw new StoreError('INVALID', `this version of ${packageName} has no fromNodeProviderChain`);
}

function hasChain(module: unknown): module is { readonly fromNodeProviderChain: () => Provider } {
  return (
    typeof module === 'object' &&
    module !== null &&
    'fromNodeProviderChain' in module &&
    typeof module.fromNodeProviderChain === 'function'
  );
}
