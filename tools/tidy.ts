import { reexports, unrunTests, unusedSources } from './tidy-imports.ts';
import type { Finding, Project } from './tidy-project.ts';
import * as text from './tidy-text.ts';

const rules = [
  unusedSources,
  unrunTests,
  reexports,
  text.historyInComments,
  text.leftoverMarkers,
  text.longLines,
  text.markdownTitles,
  text.brokenReferences,
  text.machinePaths,
  text.undocumentedSettings,
  text.undocumentedErrors,
];

/** What the linter does not see: everything in the project's text that is not tidy. */
export function tidy(project: Project): readonly Finding[] {
  return rules.flatMap((rule) => rule(project));
}

/** `src/base/hex.ts:12: leftover …`, as editors and terminals make a link of it. */
export function formatFinding({ file, line, message }: Finding): string {
  return `${file}:${line}: ${message}`;
}
