import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Project } from './tidy-project.ts';

/** What a text depends on for its format, beside itself and its name. */
const configuration = [
  'package.json',
  '.editorconfig',
  '.prettierrc.json',
  '.prettierignore',
  'node_modules/prettier/package.json',
] as const;

/** For each file the digest of the text that was found in order. */
type Known = Readonly<Record<string, string>>;

/**
 * Which files the formatter need not look at again, because it found the same text in order: reading
 * all of them takes a tenth of a second, starting the formatter on all takes five. Kept where
 * installed packages keep what they remember.
 */
export class FormatMemory {
  readonly #path: string;
  readonly #digests: Known;
  readonly #known: Known;

  constructor({ root, files }: Project) {
    this.#path = join(root, 'node_modules', '.cache', 'wombatkv', 'formatted.json');
    const settings = digestOf(configuration.map((name) => readText(join(root, name))).join('\0'));
    const digests = files.map(({ path, text }) => [path, digestOf(`${settings}${text}`)]);
    this.#digests = Object.fromEntries(digests) as Known;
    this.#known = parse(readText(this.#path));
  }

  /** The files to look at. */
  get changed(): readonly string[] {
    const paths = Object.keys(this.#digests);
    return paths.filter((path) => this.#known[path] !== this.#digests[path]);
  }

  /** To be called when all changed files were found in order. */
  remember(): void {
    mkdirSync(dirname(this.#path), { recursive: true });
    const draft = `${this.#path}.${process.pid}`;
    writeFileSync(draft, JSON.stringify(this.#digests));
    renameSync(draft, this.#path);
  }
}

function parse(text: string): Known {
  try {
    const known: unknown = JSON.parse(text);
    return typeof known === 'object' && known !== null ? (known as Known) : {};
  } catch {
    // Whatever this is, it says of no file that it is in order.
    return {};
  }
}

function readText(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
