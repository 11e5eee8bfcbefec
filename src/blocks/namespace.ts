import { limits } from './limits.ts';

declare const namespaceBrand: unique symbol;

/** The name that keeps tenants apart: 1 to 80 bytes of well-formed UTF-8. */
export type Namespace = string & { readonly [namespaceBrand]: true };

/** What an unset or empty namespace setting means. */
export const defaultNamespaceName = 'default';

/**
 * The namespace of that name.
 *
 * @throws RangeError naming the value when it is empty, too long or not well-formed.
 */
export function parseNamespace(name: string): Namespace {
  const byteLength = Buffer.byteLength(name);
  if (byteLength < 1 || byteLength > limits.namespaceBytesMax) {
    throw new RangeError(
      `namespace must have 1 to ${limits.namespaceBytesMax} bytes; got ${byteLength}: ` +
        JSON.stringify(name.slice(0, 80)),
    );
  }
  if (!isWellFormedNamespace(name)) {
    throw new RangeError(`namespace is not well-formed Unicode: ${JSON.stringify(name)}`);
  }
  return name;
}

/** Whether {@link parseNamespace} takes the name. */
export function isNamespace(name: unknown): name is Namespace {
  if (typeof name !== 'string') return false;
  const byteLength = Buffer.byteLength(name);
  return byteLength >= 1 && byteLength <= limits.namespaceBytesMax && isWellFormedNamespace(name);
}

function isWellFormedNamespace(name: string): name is Namespace {
  return !/\p{Surrogate}/u.test(name);
}
