/**
 * What the runner starts instead of a test file: imports the file named by the argument, and then
 * switches off the hook by which node:test follows every promise and every request of the file system
 * to the test that made it. That costs up to a third of a file's time. Suites are laid out by then,
 * which needs the hook; later it only tells to which test an uncaught exception belongs, and without
 * it one is reported for the whole file.
 */
import { createHook } from 'node:async_hooks';
import type { AsyncHook } from 'node:async_hooks';
import { pathToFileURL } from 'node:url';

/** What the source of the hook of node:test holds, and that of no other. */
const signOfHook = 'testResources';

const followers: AsyncHook[] = [];
const prototype = Object.getPrototypeOf(createHook({})) as AsyncHook;
const enable: (this: AsyncHook) => AsyncHook = Reflect.get(prototype, 'enable');
prototype.enable = function enableAndNote(this: AsyncHook): AsyncHook {
  if (isHookOfTests(this)) followers.push(this);
  return enable.call(this);
};

await import(pathToFileURL(process.argv[2] ?? '').href);
// Seen with Node 20 only: others may lay out their suites later than this.
if (process.versions.node.startsWith('20.')) for (const hook of followers) hook.disable();

/** False where Node keeps callbacks elsewhere: then the hook stays, and tests are only slower. */
function isHookOfTests(hook: AsyncHook): boolean {
  return Object.getOwnPropertySymbols(hook).some((name) => {
    const callback: unknown = Reflect.get(hook, name);
    return typeof callback === 'function' && String(callback).includes(signOfHook);
  });
}
