import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join, sep } from 'node:path';
import { splitSource } from './tidy-source.ts';
import type { SourceParts } from './tidy-source.ts';

/** One thing that is not tidy. */
export interface Finding {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

/** A text file of the project. */
export interface ProjectFile {
  /** Relative to the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** What it is made of, when it is a source file. */
  readonly parts: SourceParts | undefined;
}

/** The text files of a project, as its rules see them. */
export interface Project {
  readonly root: string;
  readonly files: readonly ProjectFile[];
}

/** Folders that hold what tools made; where there is no git they are passed over by name. */
const madeByTools = new Set(['.git', '.wombatkv', 'build', 'dist', 'node_modules']);

/** Written by npm or by others, or wrong on purpose. */
const notOurs = /^package-lock\.json$|^capi\/third_party\/.+\.[ch]$|^test\/lint\/planted\//;

/** Larger files are data. */
const textBytesMax = 1024 * 1024;

export function readProject(root: string): Project {
  const paths = listWithGit(root) ?? walk(root, '');
  const files = paths
    .filter((path) => !notOurs.test(path))
    .sort()
    .flatMap((path) => readTextFile(root, path) ?? []);
  return { root, files };
}

/** Tracked files and those about to be; undefined where git does not know the folder. */
function listWithGit(root: string): readonly string[] | undefined {
  const options = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { status, stdout } = spawnSync('git', options, { cwd: root, encoding: 'utf8' });
  if (status !== 0) return undefined;
  const paths = [...new Set(stdout.split('\0'))].filter((path) => path !== '');
  return paths.length > 0 ? paths : undefined;
}

function walk(root: string, directory: string): readonly string[] {
  return readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return madeByTools.has(entry.name) ? [] : walk(root, path);
    return [path.replaceAll(sep, '/')];
  });
}

function readTextFile(root: string, path: string): ProjectFile | undefined {
  const full = join(root, path);
  if (!existsSync(full)) return undefined;
  const status = statSync(full);
  if (!status.isFile() || status.size > textBytesMax) return undefined;
  const text = readFileSync(full, 'utf8');
  if (text.includes('\0')) return undefined;
  return { path, text, parts: /\.(ts|mjs|js|c|h)$/.test(path) ? splitSource(text) : undefined };
}

/** A finding for every match of the pattern (which has the flag `g`) in the text of the file. */
export function findAll(
  file: ProjectFile,
  text: string,
  pattern: RegExp,
  message: (match: RegExpExecArray) => string | undefined,
): readonly Finding[] {
  return [...text.matchAll(pattern)].flatMap((match) => {
    const words = message(match);
    if (words === undefined) return [];
    const line = text.slice(0, match.index).split('\n').length;
    return [{ file: file.path, line, message: words }];
  });
}
