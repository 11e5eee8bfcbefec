/* CRC32C by tables, eight bytes at a time: for every processor, and the one that the others are held to. */
#include <pthread.h>
#include <string.h>

#include "crc32c.h"

/* tables[k][b] is the register that the byte b leaves behind after k further bytes of zero. */
static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void) {
  for (uint32_t byte = 0; byte < 256; byte += 1) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; bit += 1) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78 : 0);
    tables[0][byte] = value;
  }
  for (size_t k = 1; k < 8; k += 1) {
    for (size_t byte = 0; byte < 256; byte += 1) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 255];
    }
  }
}

static uint32_t append(uint32_t state, const uint8_t *in, size_t length) {
  pthread_once(&tables_once, make_tables);
  for (; length >= 8; in += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, in, 8);
    word ^= state;
    state = 0;
    for (unsigned byte = 0; byte < 8; byte += 1) state ^= tables[7 - byte][(word >> (8 * byte)) & 255];
  }
  for (; length > 0; in += 1, length -= 1) state = (state >> 8) ^ tables[0][(state ^ *in) & 255];
  return state;
}

static bool is_supported(void) { return true; }

const struct wmbt_crc32c_kernel wmbt_crc32c_portable = {
    .name = "portable",
    .is_supported = is_supported,
    .append = append,
    .stream = NULL,
    .stream_unit = 1,
};
