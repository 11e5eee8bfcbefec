import { blake3 } from '../base/blake3.ts';
import { StoreError } from '../base/errors.ts';
import { viewOf } from '../base/bytes.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { TokenEntry, Verb } from '../config/token-file.ts';
import type { FrameType } from '../protocol/frame-types.ts';

/**
 * What a call asks for. `presence` is whether blocks are stored, which saving tells too: whoever may
 * read or write may ask it.
 */
export type Need = Verb | 'presence';

/** Digests of secrets, as eight words: what is compared, so that time tells nothing of a secret. */
type Digest = Uint32Array;

interface Known {
  readonly digest: Digest;
  readonly entry: Omit<TokenEntry, 'token'>;
}

/**
 * Who may do what, by the tokens of a daemon. The same rules hold at every door. They can be replaced
 * while the daemon runs; connections that stand have the new ones from their next call on.
 */
export class Access {
  #known: readonly Known[] | undefined;
  #version = 0;

  /** Undefined: nobody needs a token, and everybody may do everything. */
  constructor(entries?: readonly TokenEntry[]) {
    if (entries !== undefined) this.replace(entries);
  }

  get isOpen(): boolean {
    return this.#known === undefined;
  }

  /** Changes whenever the rules do. */
  get version(): number {
    return this.#version;
  }

  replace(entries: readonly TokenEntry[]): void {
    this.#known = entries.map(({ token, ...entry }) => ({ digest: digestOf(token), entry }));
    this.#version += 1;
  }

  /** Remembers a secret by its digest alone. */
  present(token: string): Credential {
    return new Credential(this, this.isOpen ? undefined : digestOf(token));
  }

  /** The rights of a digest; undefined when it is that of no token. Looks at all of them always. */
  find(digest: Digest | undefined): Grant | undefined {
    if (this.#known === undefined) return openGrant;
    if (digest === undefined) return undefined;
    let found: Known | undefined;
    for (const known of this.#known) if (isSame(known.digest, digest)) found = known;
    return found === undefined ? undefined : new Grant(found.entry);
  }
}

/** What somebody gave, kept as a digest, and the rights that it stands for now. */
export class Credential {
  readonly #access: Access;
  readonly #digest: Digest | undefined;
  #version = -1;
  #grant: Grant | undefined;

  constructor(access: Access, digest: Digest | undefined) {
    this.#access = access;
    this.#digest = digest;
  }

  /**
   * The rights as they are now.
   *
   * @throws StoreError `INVALID` when it is none of this daemon's tokens, or none any more.
   */
  get grant(): Grant {
    if (this.#version !== this.#access.version) {
      this.#version = this.#access.version;
      this.#grant = this.#access.find(this.#digest);
    }
    if (this.#grant !== undefined) return this.#grant;
    throw new StoreError('INVALID', wrongToken);
  }
}

export const wrongToken = 'the token is none of this daemon';

/** The rights of one token. */
export class Grant {
  /** Undefined where tokens are not asked for. */
  readonly name: string | undefined;
  readonly #verbs: ReadonlySet<Verb>;
  readonly #namespaces: ReadonlySet<Namespace> | 'all';

  constructor({ name, verbs, namespaces }: Partial<Omit<TokenEntry, 'token'>>) {
    this.name = name;
    this.#verbs = verbs ?? new Set();
    this.#namespaces = namespaces ?? 'all';
  }

  /** Why it may not; undefined when it may. The namespace is none for what concerns the store. */
  refusal(need: Need, namespace: Namespace | undefined): string | undefined {
    if (this.name === undefined) return undefined;
    const isAllowed =
      need === 'presence'
        ? this.#verbs.has('read') || this.#verbs.has('write')
        : this.#verbs.has(need);
    if (!isAllowed) return `this token may not do that: it lacks ${rightOf(need)}`;
    if (need === 'admin' || this.#namespaces === 'all') return undefined;
    if (namespace !== undefined && this.#namespaces.has(namespace)) return undefined;
    return `this token is not for the namespace ${JSON.stringify(namespace ?? '')}`;
  }
}

const openGrant = new Grant({});

function rightOf(need: Need): string {
  return need === 'presence' ? 'the verb read or write' : `the verb ${need}`;
}

/** What a call over frames needs; undefined for what is no call. */
export function needOfFrame(type: FrameType): Need | undefined {
  switch (type) {
    case 'lookup':
    case 'load':
    case 'load-tail':
    case 'load-raw-tail':
    case 'borrow-raw-tail':
    case 'prefetch':
      return 'read';
    case 'contains':
      return 'presence';
    case 'save':
    case 'save-tail':
    case 'save-raw-tail':
      return 'write';
    case 'delete':
      return 'delete';
    case 'flush':
    case 'stats':
      return 'admin';
    default:
      return undefined;
  }
}

function digestOf(secret: string): Digest {
  const view = viewOf(blake3(new TextEncoder().encode(secret)));
  return Uint32Array.from({ length: 8 }, (_, at) => view.getUint32(4 * at, true));
}

/** Takes the same time for all digests. */
function isSame(one: Digest, other: Digest): boolean {
  let difference = 0;
  for (let at = 0; at < one.length; at += 1) difference |= one[at] ^ other[at];
  return difference === 0;
}
