/*
 * A client of a store that was stopped: it goes on when the store has superseded the index that it looks into, has
 * given back the memory that it was lent, and the file system has none left. There a read of what has no memory would
 * end this process (docs/decisions/0112). It has what a client has, and does what one does behind each place where it
 * may be stopped.
 */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/shared/shared-index.h"
#include "../../src/shared/shared-lent.h"

enum { place_bytes = 4096, payload_bytes = 100, client_number = 63 };

struct file {
  uint8_t *memory;
  size_t length;
};

static struct file map(const char *directory, const char *name, bool is_writable) {
  char path[4096];
  if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path) exit(2);
  struct stat status;
  const int fd = open(path, (is_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &status) != 0) exit(2);
  const int protection = is_writable ? PROT_READ | PROT_WRITE : PROT_READ;
  uint8_t *memory = mmap(NULL, (size_t)status.st_size, protection, MAP_SHARED, fd, 0);
  (void)close(fd);
  if (memory == MAP_FAILED) exit(2);
  return (struct file){memory, (size_t)status.st_size};
}

static void wait_for_word(void) {
  char word[64];
  (void)puts("ready");
  (void)fflush(stdout);
  if (fgets(word, sizeof word, stdin) == NULL) exit(2);
}

/* All that a probe, a pin or a look for a name may read. */
static unsigned read_index(const struct file *file, const struct wmbt_index *index, struct wmbt_client *client) {
  unsigned sum = 0;
  for (size_t at = 0; at < file->length; at += 64) sum += file->memory[at];
  for (uint64_t entry = 0; entry <= index->mask; entry += 1) {
    const struct wmbt_found found = {.entry = (uint32_t)entry, .sequence = 1};
    sum += wmbt_pin_confirm(index, client, 0, &found);
  }
  return sum;
}

/* Everywhere a loan may have lain, of this store or of one that followed it. */
static unsigned fill_everywhere(struct wmbt_client *client, const struct wmbt_lent_segment *segment) {
  static uint8_t payload[payload_bytes];
  unsigned filled = 0;
  uint32_t crc;
  const size_t end = segment->bytes - wmbt_lent_payload_at - payload_bytes;
  for (size_t at = 0; at <= end; at += place_bytes) {
    const uint32_t place = (uint32_t)(at / place_bytes);
    const struct wmbt_lent lent = {.offset = place, .salt = 7, .number = place + 1};
    filled += wmbt_lent_fill(client, 0, segment, &lent, payload, sizeof payload, &crc) != wmbt_fill_over;
  }
  return filled;
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  const char *directory = arguments[1];
  const struct file file = map(directory, "index", false), clients = map(directory, "clients", true);
  const struct file segment = map(directory, "segment-0", true), loans = map(directory, "loans", false);
  struct wmbt_index index;
  if (!wmbt_index_open(file.memory, file.length, &index)) return 2;
  if (loans.length < wmbt_stamps_max * sizeof(struct wmbt_stamp)) return 2;
  struct wmbt_client *client = (struct wmbt_client *)(void *)clients.memory + client_number;
  uint8_t *touched = calloc(1, wmbt_lent_touched_bytes(segment.length));
  if (touched == NULL) return 2;
  const struct wmbt_lent_segment lent = {
      .memory = segment.memory,
      .bytes = segment.length,
      .stamps = (const struct wmbt_stamp *)(const void *)loans.memory,
      .touched = (_Atomic uint8_t *)(void *)touched,
  };
  wait_for_word();
  (void)printf("state %u\n", (unsigned)atomic_load(&index.header->state));
  (void)fflush(stdout);
  (void)printf("index read, %u\n", read_index(&file, &index, client) & 1);
  (void)fflush(stdout);
  (void)printf("filled %u\n", fill_everywhere(client, &lent));
  free(touched);
  return 0;
}
