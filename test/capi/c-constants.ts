import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../tools/project.ts';

/** A macro or an enumerator of a file below `capi`, whose value is a number. */
export interface CConstant {
  /** `path name`, the path from `capi`. */
  readonly id: string;
  readonly value: bigint;
}

export function cSource(path: string): string {
  return readFileSync(join(projectRoot(), 'capi', path), 'utf8');
}

/** All constants of a file that are given by a literal, or by products and shifts of some. */
export function constantsIn(path: string): readonly CConstant[] {
  const text = cSource(path).replaceAll(/\/\*.*?\*\//gs, '');
  const macros = Array.from(text.matchAll(/^#define (\w+) (.+)$/gm), ([, name, value]) => [
    name,
    value,
  ]);
  const enumerators = Array.from(text.matchAll(/\benum(?: \w+)? \{(.*?)\}/gs), ([, body = '']) =>
    body.split(',').map((one) => one.split('=')),
  ).flat();
  return [...macros, ...enumerators].flatMap(([name = '', text = '']) => {
    const value = valueOf(text);
    return value === undefined ? [] : [{ id: `${path} ${name.trim()}`, value }];
  });
}

/** Those of all files of a folder. */
export function constantsBelow(folder: string): readonly CConstant[] {
  return readdirSync(join(projectRoot(), 'capi', folder))
    .filter((name) => /\.[ch]$/.test(name))
    .sort()
    .flatMap((name) => constantsIn(`${folder}/${name}`));
}

/** Undefined for what is no product or shift of literals. */
function valueOf(text: string): bigint | undefined {
  const bare = text.replaceAll(/U?INT\d+_C\((\w+)\)|\(size_t\)/g, '$1').replaceAll(/[()\s]/g, '');
  if (!/^(?:0x[\da-f]+|\d+)U?(?:(?:\*|<<)(?:0x[\da-f]+|\d+)U?)*$/i.test(bare)) return undefined;
  const [first = '', ...shifts] = bare.replaceAll(/U/gi, '').split('<<');
  return shifts.reduce((value, shift) => value << product(shift), product(first));
}

function product(text: string): bigint {
  return text.split('*').reduce((value, factor) => value * BigInt(factor), 1n);
}
