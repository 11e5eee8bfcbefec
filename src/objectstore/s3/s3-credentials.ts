import { messageOf, StoreError } from '../../base/errors.ts';
import { SingleFlight } from '../../base/single-flight.ts';
import type { Clock } from '../../platform/clock.ts';
import { objectLimits } from '../object-limits.ts';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  /** Milliseconds since 1970; undefined for credentials without an end. */
  readonly expiresMs?: number | undefined;
}

/** Fetches credentials; asked again before they end. */
export type CredentialSource = () => Promise<S3Credentials>;

/** The credentials in use: fetched when first needed, anew before they end, once for all callers. */
export class CredentialCache {
  readonly #source: CredentialSource;
  readonly #clock: Clock;
  readonly #flight = new SingleFlight<'credentials', S3Credentials>();
  #current: S3Credentials | undefined;

  constructor(source: CredentialSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /**
   * Credentials that hold for a while.
   *
   * @throws StoreError `UNAVAILABLE` when none can be had in time, or what the source threw.
   */
  async get(): Promise<S3Credentials> {
    const current = this.#current;
    if (current !== undefined && this.#leftMs(current) > objectLimits.s3CredentialsMarginMs) {
      return current;
    }
    try {
      return await this.#flight.board('credentials', () => this.#fetch()).result;
    } catch (error) {
      // Those that end soon still serve while new ones cannot be had.
      if (current !== undefined && this.#leftMs(current) > 0) return current;
      throw error;
    }
  }

  /** Told when a server called these expired: the next caller gets others, if there are any. */
  drop(expired: S3Credentials): void {
    if (this.#current === expired) this.#current = undefined;
  }

  #leftMs({ expiresMs }: S3Credentials): number {
    return expiresMs === undefined ? Number.POSITIVE_INFINITY : expiresMs - this.#clock.wallMs();
  }

  async #fetch(): Promise<S3Credentials> {
    const enough = new AbortController();
    const late = this.#clock.sleep(objectLimits.s3CredentialsMs, enough.signal).then(() => {
      throw new Error(`nobody gave any within ${objectLimits.s3CredentialsMs} ms`);
    });
    try {
      this.#current = await Promise.race([this.#source(), late]);
      return this.#current;
    } catch (error) {
      if (error instanceof StoreError) throw error;
      throw new StoreError('UNAVAILABLE', `no S3 credentials: ${messageOf(error)}`, {
        cause: error,
      });
    } finally {
      late.catch(() => undefined);
      enough.abort();
    }
  }
}

/** Hosts on which the well-known credentials of local S3 servers are permitted. */
function isLoopback(hostName: string): boolean {
  return (
    hostName === 'localhost' ||
    hostName.endsWith('.localhost') ||
    hostName === '[::1]' ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostName)
  );
}

/**
 * Throws `INVALID` for the well-known pair of a local S3 server on a host that others can reach:
 * whoever knows it reads and writes the bucket.
 */
export function refuseWellKnownPair(
  { accessKeyId, secretAccessKey }: S3Credentials,
  hostName: string,
  isLocalDevelopment: boolean,
): void {
  if (accessKeyId !== 'minioadmin' || secretAccessKey !== 'minioadmin') return;
  if (isLocalDevelopment || isLoopback(hostName)) return;
  throw new StoreError(
    'INVALID',
    `the credentials minioadmin/minioadmin are refused for ${hostName}, which is not this machine; ` +
      'accepted: others in WMBT_KV_S3_ACCESS_KEY and WMBT_KV_S3_SECRET_KEY, or WMBT_KV_LOCAL_DEV=1',
  );
}
