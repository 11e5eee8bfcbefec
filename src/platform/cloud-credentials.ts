/** Credentials for AWS and what speaks its protocols. */
export interface CloudIdentity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  /** Milliseconds since 1970; undefined for credentials without an end. */
  readonly expiresMs?: number | undefined;
}

/**
 * The usual places in which a machine keeps its credentials for AWS: shared files, single sign-on,
 * web identity, processes, the metadata service of containers and machines.
 */
export interface CloudCredentials {
  /**
   * Fetches credentials. Rejects when there are none, or with `StoreError` `INVALID` when what
   * looks for them is not installed. May take long; whoever asks sets a time.
   */
  fetch(): Promise<CloudIdentity>;
}
