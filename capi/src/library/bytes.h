/* Little-endian fields, written into memory that grows and read with every length checked. */
#ifndef WMBT_BYTES_H
#define WMBT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Owns `bytes`. A write without memory sets `has_failed` and writes nothing from then on. */
struct wmbt_writer {
  uint8_t *bytes;
  size_t length, capacity;
  bool has_failed;
};

void wmbt_write_u8(struct wmbt_writer *writer, uint8_t value);
void wmbt_write_u16(struct wmbt_writer *writer, uint16_t value);
void wmbt_write_u32(struct wmbt_writer *writer, uint32_t value);
/* Numbers of 32 bits, one after another. */
void wmbt_write_i32s(struct wmbt_writer *writer, const int32_t *values, size_t count);
void wmbt_write_bytes(struct wmbt_writer *writer, const void *bytes, size_t length);
/* A length of 16 bits and the text, which is no longer than that. */
void wmbt_write_text(struct wmbt_writer *writer, const char *text);
void wmbt_writer_free(struct wmbt_writer *writer);

/* Does not own its bytes. A read beyond the end sets `is_short` and gives zeros from then on. */
struct wmbt_reader {
  const uint8_t *bytes;
  size_t length, at;
  bool is_short;
};

uint8_t wmbt_read_u8(struct wmbt_reader *reader);
uint16_t wmbt_read_u16(struct wmbt_reader *reader);
uint32_t wmbt_read_u32(struct wmbt_reader *reader);
uint64_t wmbt_read_u64(struct wmbt_reader *reader);
/* So many bytes where they lie; NULL when there are not as many. */
const uint8_t *wmbt_read_bytes(struct wmbt_reader *reader, size_t length);
/* True when everything was read and nothing was missing. */
bool wmbt_reader_is_at_end(const struct wmbt_reader *reader);

/* A number where it lies. */
uint32_t wmbt_u32_at(const uint8_t *bytes);
void wmbt_put_u32(uint8_t *bytes, uint32_t value);

#endif
