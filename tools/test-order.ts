/**
 * Quick test files that take longest, the longest first. They are started in this order, before all
 * others: then processors that run files side by side end together. What is not here takes a few
 * seconds at most; a wrong order costs time and nothing else.
 */
export const longestFiles: readonly string[] = [
  'test/sim/simulation.test.ts',
  'src/store/store.test.ts',
  'test/engine/equality.test.ts',
  'test/sim/planted-bugs.test.ts',
  'test/cli/demo.test.ts',
  'src/objectstore/s3/s3-object-store.test.ts',
  'test/engine/conversation.test.ts',
  'test/engine/safety.test.ts',
  'test/crash/store-kills.test.ts',
  'test/crash/shared-directory.test.ts',
  'src/objectstore/directory-object-store.test.ts',
  'test/cli/usage.test.ts',
  'test/cli/store-commands.test.ts',
  'src/cache/cache-directory-races.test.ts',
  'src/objectstore/directory-object-store-crash.test.ts',
];

/** The files in the order in which to start them. */
export function longestFirst(files: readonly string[]): readonly string[] {
  const place = (file: string): number => {
    const index = longestFiles.indexOf(file.replace(/\.js$/, '.ts'));
    return index === -1 ? longestFiles.length : index;
  };
  return files.toSorted((a, b) => place(a) - place(b));
}
