import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Finding, Project, ProjectFile } from './tidy-project.ts';
import { findAll } from './tidy-project.ts';

const history: readonly (readonly [RegExp, string])[] = [
  [/\b(?:19|20)\d\d-\d\d-\d\d\b/g, 'a date'],
  [/\b[0-9a-f]{40}\b|\b(?:commit|revision|changeset)\s+[0-9a-f]{7,}\b/gi, 'a commit'],
  [/\brenamed from\b|\bformerly\b/gi, 'a former name'],
  [/@since\b|\b(?:since|as of|until|(?:added|introduced|removed) in) v?\d+\.\d+/gi, 'a version'],
];

/** History in comments, which git keeps better. */
export function historyInComments(project: Project): readonly Finding[] {
  return project.files.flatMap((file) =>
    history.flatMap(([pattern, what]) =>
      findAll(file, file.parts?.comments ?? '', pattern, ([text]) => {
        return `${what} in a comment: ${text}; say what holds, git keeps the history`;
      }),
    ),
  );
}

/** Marks of unfinished work, and tests that are switched off or switch others off. */
export function leftoverMarkers(project: Project): readonly Finding[] {
  return project.files.flatMap((file) => {
    if (/\.(md|json)$/.test(file.path)) return [];
    const prose = file.parts?.comments ?? file.text;
    const code = file.parts?.code ?? '';
    return [
      ...findAll(file, prose, /\b(?:TOD[O]|FIXM[E]|XX[X])\b/g, ([mark]) => `leftover ${mark}`),
      ...findAll(
        file,
        code,
        /\b(?:test|it|describe|suite)\.(?:only|skip|todo)\b|\bonly: true\b/g,
        ([text]) => `leftover ${text}`,
      ),
    ];
  });
}

/** Lines of C and C++ that are too long: prettier, which keeps the others short, does not know these languages. */
export function longLines(project: Project): readonly Finding[] {
  const sources = project.files.filter(({ path }) => /\.(?:c|h|cpp|hpp)$/.test(path));
  return sources.flatMap((file) =>
    findAll(file, file.text, /^.{121,}$/gm, ([line]) => `has ${line.length} columns; at most 120`),
  );
}

/** Every Markdown file has one title. */
export function markdownTitles(project: Project): readonly Finding[] {
  return markdownFiles(project).flatMap((file) => {
    const titles = withoutCode(file.text).match(/^# /gm)?.length ?? 0;
    if (titles === 1) return [];
    return [{ file: file.path, line: 1, message: `has ${titles} titles (\`# …\`) instead of one` }];
  });
}

/** Links of Markdown files, and names of files in comments and Markdown, that lead nowhere. */
export function brokenReferences(project: Project): readonly Finding[] {
  const links = markdownFiles(project).flatMap((file) =>
    findAll(file, withoutCode(file.text), /\]\(\s*<?([^)>\s]+)/g, ([, target]) => {
      const path = target.replace(/[#?].*$/, '');
      if (/^[a-z]+:/i.test(target) || path === '') return undefined;
      const isThere = existsSync(join(project.root, dirname(file.path), path));
      return isThere ? undefined : `link to ${target}, which is not there`;
    }),
  );
  const names = project.files.flatMap((file) => {
    const isMarkdown = file.path.endsWith('.md');
    const prose = isMarkdown ? withoutLinks(withoutCode(file.text)) : file.parts?.comments;
    return findAll(file, prose ?? '', namedFile, ([name]) =>
      resolves(project.root, name) ? undefined : `names ${name}, which is not there`,
    );
  });
  return [...links, ...names];
}

/** A decision by its number, anything under docs/, a source or page of another folder. */
const namedFile =
  /(?<![\w./*-])(?:(?:docs\/)?decisions\/\d{4}[\w-]*(?:\.md)?|docs\/[\w./-]*\w(?![\w*])|(?:src|test|tools|bench|examples)\/[\w./-]+\.(?:ts|mjs|md)\b)/g;

function resolves(root: string, name: string): boolean {
  const path = join(root, name.startsWith('decisions/') ? `docs/${name}` : name);
  if (existsSync(path)) return true;
  if (!/decisions\/\d{4}$/.test(name) || !existsSync(dirname(path))) return false;
  return readdirSync(dirname(path)).some((entry) => entry.startsWith(`${basename(path)}-`));
}

/** Folders of the machine that somebody worked on. Homes of nobody in particular are examples. */
export function machinePaths(project: Project): readonly Finding[] {
  const pattern = /(?<![\w.-])\/(?:work|root|home\/(?!(?:some\w*|user|you)\b)\w+)(?![\w.-])/g;
  return project.files.flatMap((file) =>
    findAll(file, file.text, pattern, ([path]) => `a path of one machine: ${path}`),
  );
}

/** Settings that docs/CONFIG.md does not name. */
export function undocumentedSettings(project: Project): readonly Finding[] {
  return missingFrom('docs/CONFIG.md', project, 'src/config/settings.ts', /'(WMBT_KV_\w+)'/g);
}

/** Error codes that docs/ERRORS.md does not name. */
export function undocumentedErrors(project: Project): readonly Finding[] {
  return missingFrom('docs/ERRORS.md', project, 'src/base/errors.ts', /^ {2}'([A-Z_]+)',$/gm);
}

function missingFrom(
  page: string,
  project: Project,
  source: string,
  pattern: RegExp,
): readonly Finding[] {
  const file = project.files.find(({ path }) => path === source);
  if (file === undefined) return [];
  const text = project.files.find(({ path }) => path === page)?.text ?? '';
  const words = new Set(text.match(/\w+/g));
  const program = file.parts?.program ?? '';
  // Names that are written in another way would be looked for in vain, and nobody would hear of it.
  if (program.search(pattern) < 0)
    return [{ file: source, line: 1, message: `names nothing of ${page}` }];
  return findAll(file, program, pattern, ([, name]) =>
    words.has(name) ? undefined : `${name} is missing from ${page}`,
  );
}

function markdownFiles(project: Project): readonly ProjectFile[] {
  return project.files.filter(({ path }) => path.endsWith('.md'));
}

function withoutLinks(markdown: string): string {
  return markdown.replace(/\]\([^)\s]+/g, '](');
}

/** The text of a Markdown file with its code blocks blank. */
function withoutCode(markdown: string): string {
  return markdown.replace(/^(`{3,}|~{3,})[^]*?^\1/gm, (block) => block.replace(/[^\n]/g, ' '));
}
