import fc from 'fast-check';

/**
 * Any character of Unicode, the rare ones as often as the common. The unit `binary` of fast-check means
 * the same and takes more than a second to make, for it remembers each of a million characters.
 */
export const anyCharacter: fc.Arbitrary<string> = fc
  .oneof(
    fc.integer({ min: 0, max: 0x7f }),
    fc.integer({ min: 0, max: 0xd7ff }),
    fc.integer({ min: 0xe000, max: 0x10ffff }),
  )
  .map((code) => String.fromCodePoint(code));
