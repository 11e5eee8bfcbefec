import { dirname, join } from 'node:path/posix';
import type { Finding, Project, ProjectFile } from './tidy-project.ts';
import { findAll } from './tidy-project.ts';

/** The public entry points: the only files that may export what another file declares. */
const barrels = new Set(['src/index.ts', 'src/client.ts', 'src/llama.ts', 'src/testing.ts']);

/** What tsconfig.json compiles, and so what the test runner finds. */
const compiled = /^(src|test|bench|tools|examples)\//;

const testSide = /\.(test|bench)\.ts$|^test\//;

/** Files that start by their name alone. */
const startsItself = /\.(test|bench|config)\.\w+$|^examples\//;

/** Source files that nobody imports, or that only tests import. */
export function unusedSources(project: Project): readonly Finding[] {
  const named = filesNamedInCommands(project);
  const importers = importersOf(project);
  return project.files.flatMap(({ path }): readonly Finding[] => {
    if (!path.endsWith('.ts') || startsItself.test(path)) return [];
    if (barrels.has(path) || named.has(path)) return [];
    const users = importers.get(path) ?? [];
    if (users.length === 0) return [{ file: path, line: 1, message: 'nobody imports this file' }];
    if (!path.startsWith('src/') || users.some((user) => !testSide.test(user))) return [];
    return [{ file: path, line: 1, message: 'only tests import this file' }];
  });
}

/** Files named as tests that the runner does not find. */
export function unrunTests(project: Project): readonly Finding[] {
  return project.files.flatMap(({ path }) => {
    const isNamedTest = /[.-](test|spec)\.[cm]?[jt]s$/.test(path);
    if (!isNamedTest || (path.endsWith('.test.ts') && compiled.test(path))) return [];
    return [
      {
        file: path,
        line: 1,
        message: 'nobody runs this: tests are *.test.ts files in compiled folders',
      },
    ];
  });
}

/** Exports of what another file declares, outside the public entry points. */
export function reexports(project: Project): readonly Finding[] {
  return project.files.flatMap((file) => {
    if (!/^src\/.*\.ts$/.test(file.path) || barrels.has(file.path)) return [];
    const pattern = /^export\s+(?:type\s+)?(?:\*|\{[^}]*\})[^;]*?\sfrom\s/gm;
    return findAll(
      file,
      file.parts?.code ?? '',
      pattern,
      () => 'exports what another file declares',
    );
  });
}

/** For each file the files that import it or name it in a string, as `new Worker(new URL(…))` does. */
function importersOf(project: Project): ReadonlyMap<string, readonly string[]> {
  const importers = new Map<string, string[]>();
  for (const file of project.files) {
    for (const target of referencesOf(file)) {
      const known = importers.get(target) ?? [];
      importers.set(target, [...known, file.path]);
    }
  }
  return importers;
}

function referencesOf(file: ProjectFile): ReadonlySet<string> {
  const pattern = /(?:new URL\(\s*['"`]|['"`](?=\.{1,2}\/))([\w./-]+)\.[jt]s['"`]/g;
  const matches = file.parts?.program.matchAll(pattern) ?? [];
  const targets = [...matches].map(([, path]) => join(dirname(file.path), `${path}.ts`));
  return new Set(targets.filter((target) => target !== file.path));
}

/** Sources whose compiled file a command starts: `dist/src/cli/main.js` in package.json, say. */
function filesNamedInCommands(project: Project): ReadonlySet<string> {
  const matches = project.files.flatMap(({ path, text, parts }) =>
    path.endsWith('.md') ? [] : [...(parts?.program ?? text).matchAll(/dist\/([\w./-]+)\.js/g)],
  );
  return new Set(matches.map(([, path]) => `${path}.ts`));
}
