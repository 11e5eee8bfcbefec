import type { TextChange } from '../sim/planted-bugs.ts';

/** A fault to put into one file of the C library, and the fuzz target that must find it. */
export interface FuzzPlant {
  readonly target: string;
  readonly name: string;
  readonly change: TextChange;
}

/** Bounds that a parser may miss: of each target some, at its edge and behind what it reads first. */
export const fuzzPlants: readonly FuzzPlant[] = [
  {
    target: 'messages',
    name: 'a field is read one byte beyond its message',
    change: {
      file: 'capi/src/library/bytes.c',
      from: 'if (reader->is_short || length > reader->length - reader->at) {',
      to: 'if (reader->is_short || length > reader->length - reader->at + 1) {',
    },
  },
  {
    target: 'messages',
    name: 'the last bits of what is stored lie behind the message',
    change: {
      file: 'capi/src/library/messages.c',
      from: 'const uint8_t *bits = is_right ? wmbt_read_bytes(&body, (count + 7) / 8) : NULL;',
      to: 'const uint8_t *bits = is_right ? wmbt_read_bytes(&body, count / 8) : NULL;',
    },
  },
  {
    target: 'messages',
    name: 'a place more is lent than payloads are due',
    change: {
      file: 'capi/src/library/save-turns.c',
      from: 'if (places->count > due) {',
      to: 'if (places->count > due + 1) {',
    },
  },
  {
    target: 'http',
    name: 'a string of JSON without an end goes on behind the text',
    change: {
      file: 'capi/src/library/json.c',
      from: `while (cursor->at < cursor->end && *cursor->at != '"') {`,
      to: `while (*cursor->at != '"') {`,
    },
  },
  {
    target: 'http',
    name: 'a string of JSON is a byte longer than its room',
    change: {
      file: 'capi/src/library/json.c',
      from: 'if (length + count >= size) break;',
      to: 'if (length + count > size) break;',
    },
  },
  {
    target: 'http',
    name: 'an answer says of one block more than were asked for whether it is stored',
    change: {
      file: 'capi/src/library/http-small.c',
      from: 'if (count < question->keys.count) present[count]',
      to: 'if (count <= question->keys.count) present[count]',
    },
  },
  {
    target: 'http',
    name: 'a bulk body has one record more than were asked for',
    change: {
      file: 'capi/src/library/http-bulk.c',
      from: 'if (preamble->records > records_max ||',
      to: 'if (preamble->records > records_max + 1 ||',
    },
  },
  {
    target: 'streams',
    name: 'what was read ahead is taken beyond the end of its place',
    change: {
      file: 'capi/src/library/connection.c',
      from: 'size_t filled = waiting < length ? waiting : length;',
      to: 'size_t filled = waiting;',
    },
  },
  {
    target: 'streams',
    name: 'a piece of a chunk is a byte longer than its room',
    change: {
      file: 'capi/src/library/http-exchange.c',
      from: 'const size_t count = answer->left < sizeof piece ? (size_t)answer->left : sizeof piece;',
      to: 'const size_t count = answer->left <= sizeof piece + 1 ? (size_t)answer->left : sizeof piece;',
    },
  },
  {
    target: 'streams',
    name: 'an error has no room for the end of its text',
    change: {
      file: 'capi/src/library/http-exchange.c',
      from: 'char *text = malloc(*length + 1);',
      to: 'char *text = malloc(*length);',
    },
  },
  {
    target: 'index',
    name: 'a payload that begins in the segment ends behind it',
    change: {
      file: 'capi/src/library/shared-reader.c',
      from: '*length > reader->segment_bytes - start) return NULL;',
      to: '*length > reader->segment_bytes) return NULL;',
    },
  },
  {
    target: 'index',
    name: 'more names are read than there is room for',
    change: {
      file: 'capi/src/library/shared-reader.c',
      from: '  if (*count > names_max) *count = names_max;\n',
      to: '',
    },
  },
  {
    target: 'index',
    name: 'a use is noted one byte behind the file for it',
    change: {
      file: 'capi/src/library/shared-uses.c',
      from: 'unit >= uses_bytes(reader)) return;',
      to: 'unit > uses_bytes(reader)) return;',
    },
  },
  {
    target: 'index',
    name: 'payloads with decoded tokens are lent to who takes none',
    change: {
      file: 'capi/src/library/shared-reader.c',
      from: 'if (taste->is_exact && (facts & fact_decoded) != 0) return false;',
      to: 'if (taste->is_exact && (facts & 0xffff) == fact_decoded) return false;',
    },
  },
  {
    target: 'rings',
    name: 'an entry goes on behind the end of the ring',
    change: {
      file: 'capi/src/shared/commit-ring.c',
      from: 'const uint32_t skipped = wanted > rest ? rest : 0;',
      to: 'const uint32_t skipped = wanted > rest + 1 ? rest : 0;',
    },
  },
  {
    target: 'rings',
    name: 'more is lent than a ring holds',
    change: {
      file: 'capi/src/shared/commit-ring.c',
      from: 'if (count > wmbt_ring_loans_max || there > wmbt_ring_loans_max || there < count) return false;',
      to: 'if (there < count) return false;',
    },
  },
  {
    target: 'rings',
    name: 'a ring is as long as it says',
    change: {
      file: 'capi/src/shared/commit-ring.c',
      from: 'data_bytes == bytes - wmbt_ring_data_at && ',
      to: '',
    },
  },
  {
    target: 'known',
    name: 'a shard is as long as it says',
    change: {
      file: 'capi/src/shared/known-file.c',
      from: 'return log2 >= wmbt_known_log2_least && log2 <= file->log2_region ? log2 : 0;',
      to: 'return log2 >= wmbt_known_log2_least && log2 < 31 ? log2 : 0;',
    },
  },
  {
    target: 'known',
    name: 'more names are read than there is room for',
    change: {
      file: 'capi/src/shared/known-file.c',
      from: '  if (count > wmbt_known_names_most) count = wmbt_known_names_most;\n',
      to: '',
    },
  },
  {
    target: 'known',
    name: 'a file is as long as it says',
    change: {
      file: 'capi/src/shared/known-file.c',
      from: '  if (length != wmbt_known_file_bytes(log2_region)) return false;\n',
      to: '',
    },
  },
  {
    target: 'texts',
    name: 'a path in a file fills its room, and has no end',
    change: {
      file: 'capi/src/library/shared-files.c',
      from: 'got = read(fd, path, size - 1);',
      to: 'got = read(fd, path, size);',
    },
  },
  {
    target: 'texts',
    name: 'a path in a file that is longer than its room is another',
    change: {
      file: 'capi/src/library/shared-files.c',
      from: "return path[0] == '/' && length < size - 1;",
      to: "return path[0] == '/';",
    },
  },
  {
    target: 'texts',
    name: 'the name of a host has no room for its end',
    change: {
      file: 'capi/src/library/address.c',
      from: 'if (host_length == 0 || host_length >= wmbt_host_max ||',
      to: 'if (host_length == 0 || host_length > wmbt_host_max ||',
    },
  },
  {
    target: 'texts',
    name: 'digits are read beyond the sixty-fourth',
    change: {
      file: 'capi/src/hex.c',
      from: 'parse_32(digits + 32, &are_digits);',
      to: 'parse_32(digits + 33, &are_digits);',
    },
  },
  {
    target: 'texts',
    name: 'a number of milliseconds has no room for its end',
    change: {
      file: 'capi/src/library/settings.c',
      from: 'if (length >= size) return false;',
      to: 'if (length > size) return false;',
    },
  },
  {
    target: 'texts',
    name: 'a token of a file is longer than its room',
    change: {
      file: 'capi/src/library/settings.c',
      from: '    if (length > WMBT_TOKEN_BYTES_MAX) return false;\n',
      to: '',
    },
  },
  {
    target: 'texts',
    name: 'a text that is quoted is longer than its room',
    change: {
      file: 'capi/src/library/failure.c',
      from: 'const unsigned room = size < 16 ? 0 : size - 14;',
      to: 'const unsigned room = size < 16 ? 0 : size - 3;',
    },
  },
];
