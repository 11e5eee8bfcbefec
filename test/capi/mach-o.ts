/** Bits of a symbol's type: others see it; others in the same image alone; it is defined in a section. */
const bits = { external: 0x01, private: 0x10, kind: 0x0e, inSection: 0x0e } as const;
const symbolTableCommand = 2;
const [headerBytes, symbolBytes] = [32, 16];

/**
 * Names that a library for macOS defines for others, sorted, without those that the linker adds; the format is
 * that of <mach-o/loader.h> and <mach-o/nlist.h>.
 */
export function exportedByMachO(file: Buffer): readonly string[] {
  const table = symbolTableOf(file);
  const [first, count, texts] = [8, 12, 16].map((field) => file.readUInt32LE(table + field));
  const symbols = Array.from({ length: count }, (_, index) => first + symbolBytes * index);
  const names = symbols
    .filter((symbol) => isExported(file[symbol + 4]))
    .map((symbol) => textAt(file, texts + file.readUInt32LE(symbol)));
  // C puts one underscore before a name, and leaves those with two to compiler and linker.
  return names.filter((name) => !name.startsWith('__')).sort();
}

/** Where the command that says where the symbols are begins. */
function symbolTableOf(file: Buffer): number {
  let at = headerBytes;
  for (let left = file.readUInt32LE(16); left > 0; left -= 1) {
    if (file.readUInt32LE(at) === symbolTableCommand) return at;
    at += file.readUInt32LE(at + 4);
  }
  throw new Error('the library has no table of symbols');
}

function isExported(type: number): boolean {
  const isShown = (type & bits.external) !== 0 && (type & bits.private) === 0;
  return isShown && (type & bits.kind) === bits.inSection;
}

function textAt(file: Buffer, start: number): string {
  return file.toString('utf8', start, file.indexOf(0, start));
}
