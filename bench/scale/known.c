/*
 * Lookups in C of a store that knows many blocks, whose keys follow from their number as in bench/scale/known-keys.ts:
 * the store that the environment names, one thread. Reads orders from its input, a line each, and answers each with a
 * line of numbers, nanoseconds unless said otherwise:
 *
 *   tip                  puts the block that ends every chain, and waits until it is uploaded: 1
 *   lookup CALLS KNOWN   lookups of 80 of the first so many keys, other ones each time, and the tip: median, 99th
 *                        percentile and mean of a call
 */
#include <wombatkv.h>

#include "../one-host/timing.h"

enum { chain_blocks = 80, tip_number = 0x7fffffff };

typedef char hash[65];

static wmbt_kv_handle_t *handle;

static const char *reason(void) {
  return wmbt_kv_last_error();
}

static void key_of(uint32_t number, hash digits) {
  char *to = digits;
  for (uint32_t word = 0; word < 8; word += 1) {
    uint32_t mixed = (number + 1) * 0x9e3779b1u ^ (word + 1) * 0x85ebca6bu;
    mixed = (mixed ^ mixed >> 16) * 0x21f0aaadu;
    mixed = (mixed ^ mixed >> 15) * 0x735a2d97u;
    mixed ^= mixed >> 15;
    for (int byte = 0; byte < 4; byte += 1, to += 2) {
      static const char letters[] = "0123456789abcdef";
      const uint32_t value = mixed >> 8 * byte & 0xff;
      to[0] = letters[value >> 4];
      to[1] = letters[value & 15];
    }
  }
  *to = 0;
}

static void put_tip(void) {
  hash digits;
  key_of(tip_number, digits);
  const char *key = digits;
  static const uint8_t bytes[1024];
  const uint8_t *payload = bytes;
  const size_t length = sizeof bytes;
  check(wmbt_kv_put_kv_blocks(handle, "", &key, &payload, &length, 1) == (int64_t)length, "put");
  check(wmbt_kv_flush(handle, "", NULL) == 0, "flush");
  printf("1\n");
}

static void look_up(size_t calls, size_t known) {
  int64_t *times = new_times(calls);
  static hash chain[chain_blocks];
  const char *keys[chain_blocks];
  for (size_t call = 0; call < calls; call += 1) {
    for (size_t i = 0; i < chain_blocks; i += 1) {
      key_of(i + 1 < chain_blocks ? (uint32_t)(next_random() % known) : tip_number, chain[i]);
      keys[i] = chain[i];
    }
    size_t matched = 0;
    const int64_t start = now();
    const int32_t rc = wmbt_kv_lookup_block_prefix(handle, "", keys, chain_blocks, &matched, NULL, 0);
    times[call] = now() - start;
    check(rc == 0 && matched == chain_blocks, "lookup");
  }
  print_times(times, calls);
}

static void obey(const char *order, size_t calls, size_t known) {
  if (strcmp(order, "tip") == 0) return put_tip();
  check(strcmp(order, "lookup") == 0 && known > 0, order);
  look_up(calls, known);
}

int main(void) {
  handle = wmbt_kv_init_from_env();
  check(handle != NULL, "open");
  take_orders(obey);
  wmbt_kv_free(handle);
  return 0;
}
