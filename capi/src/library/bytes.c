#include "bytes.h"

#include <stdlib.h>
#include <string.h>

static bool make_room(struct wmbt_writer *writer, size_t length) {
  if (writer->has_failed) return false;
  if (length <= writer->capacity - writer->length) return true;
  size_t capacity = writer->capacity < 256 ? 256 : writer->capacity;
  while (capacity - writer->length < length && capacity <= SIZE_MAX / 2) capacity *= 2;
  uint8_t *bytes = capacity - writer->length < length ? NULL : realloc(writer->bytes, capacity);
  if (bytes == NULL) {
    writer->has_failed = true;
    return false;
  }
  writer->bytes = bytes;
  writer->capacity = capacity;
  return true;
}

void wmbt_write_bytes(struct wmbt_writer *writer, const void *bytes, size_t length) {
  if (length == 0 || !make_room(writer, length)) return;
  (void)memcpy(writer->bytes + writer->length, bytes, length);
  writer->length += length;
}

void wmbt_write_u8(struct wmbt_writer *writer, uint8_t value) { wmbt_write_bytes(writer, &value, 1); }

void wmbt_write_u16(struct wmbt_writer *writer, uint16_t value) {
  const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
  wmbt_write_bytes(writer, bytes, sizeof bytes);
}

void wmbt_write_u32(struct wmbt_writer *writer, uint32_t value) {
  uint8_t bytes[4];
  wmbt_put_u32(bytes, value);
  wmbt_write_bytes(writer, bytes, sizeof bytes);
}

void wmbt_write_i32s(struct wmbt_writer *writer, const int32_t *values, size_t count) {
  for (size_t i = 0; i < count; i += 1) wmbt_write_u32(writer, (uint32_t)values[i]);
}

void wmbt_write_text(struct wmbt_writer *writer, const char *text) {
  const size_t length = strlen(text);
  wmbt_write_u16(writer, (uint16_t)length);
  wmbt_write_bytes(writer, text, (uint16_t)length);
}

void wmbt_writer_free(struct wmbt_writer *writer) {
  free(writer->bytes);
  *writer = (struct wmbt_writer){0};
}

const uint8_t *wmbt_read_bytes(struct wmbt_reader *reader, size_t length) {
  if (reader->is_short || length > reader->length - reader->at) {
    reader->is_short = true;
    return NULL;
  }
  const uint8_t *bytes = reader->bytes + reader->at;
  reader->at += length;
  return bytes;
}

static uint64_t read_number(struct wmbt_reader *reader, unsigned length) {
  const uint8_t *bytes = wmbt_read_bytes(reader, length);
  uint64_t value = 0;
  for (unsigned i = 0; bytes != NULL && i < length; i += 1) value |= (uint64_t)bytes[i] << (8 * i);
  return value;
}

uint8_t wmbt_read_u8(struct wmbt_reader *reader) { return (uint8_t)read_number(reader, 1); }
uint16_t wmbt_read_u16(struct wmbt_reader *reader) { return (uint16_t)read_number(reader, 2); }
uint32_t wmbt_read_u32(struct wmbt_reader *reader) { return (uint32_t)read_number(reader, 4); }
uint64_t wmbt_read_u64(struct wmbt_reader *reader) { return read_number(reader, 8); }

bool wmbt_reader_is_at_end(const struct wmbt_reader *reader) {
  return !reader->is_short && reader->at == reader->length;
}

uint32_t wmbt_u32_at(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void wmbt_put_u32(uint8_t *bytes, uint32_t value) {
  for (unsigned i = 0; i < 4; i += 1) bytes[i] = (uint8_t)(value >> (8 * i));
}
