/*
 * The shared memory of a store: its index, header and names and entries, with a segment behind it. An input lies over
 * an index that is right, in pieces: where, how long, the bytes. What is lent must lie in the segment.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/library/shared-fork.h"
#include "../../src/library/shared-reader.h"
#include "fuzz.h"

enum { log2_capacity = 5, segment_bytes = 65536, key_count = 4, name_bytes = 128, life_at = 64 };

static struct {
  char directory[64];
  uint8_t *index, *pristine;
  size_t length;
} store;

static struct wmbt_key keys[key_count];

static uint8_t *make_file(const char *name, size_t length) {
  char path[128];
  (void)snprintf(path, sizeof path, "%s/%s", store.directory, name);
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, (off_t)length) != 0) exit(2);
  uint8_t *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  (void)close(fd);
  if (memory == MAP_FAILED) exit(2);
  return memory;
}

static void remove_store(void) {
  static const char *const names[] = {"index", "clients", "segment-0"};
  char path[128];
  for (unsigned i = 0; i < 3; i += 1) {
    (void)snprintf(path, sizeof path, "%s/%s", store.directory, names[i]);
    (void)unlink(path);
  }
  (void)rmdir(store.directory);
}

/* Blocks of the namespace `n`, one behind the other. */
static void publish_keys(void) {
  struct wmbt_index index;
  const uint32_t owner = 256 + 1;
  if (!wmbt_index_open(store.index, store.length, &index)) exit(2);
  for (unsigned i = 0; i < key_count; i += 1) {
    uint64_t words[4];
    (void)memset(&keys[i], (int)i + 1, sizeof keys[i]);
    (void)memcpy(words, &keys[i], sizeof words);
    const int64_t place = wmbt_index_place(&index, words, owner);
    const struct wmbt_found payload = {
        .location = UINT64_C(1) << 63 | i, .extent = 4000, .facts = (uint64_t)owner << 32,
    };
    if (place < 0) exit(2);
    wmbt_index_publish(&index, (uint32_t)place, words, &payload);
  }
}

static void make_store(void) {
  (void)snprintf(store.directory, sizeof store.directory, "/tmp/wombatkv-fuzz-XXXXXX");
  if (mkdtemp(store.directory) == NULL) exit(2);
  (void)atexit(remove_store);
  store.length = wmbt_index_bytes(log2_capacity);
  store.index = make_file("index", store.length);
  (void)make_file("clients", wmbt_clients_bytes_min);
  (void)make_file("segment-0", segment_bytes);
  if (!wmbt_index_create(store.index, store.length, log2_capacity, segment_bytes)) exit(2);
  struct wmbt_index_header *header = (void *)store.index;
  header->life_at = life_at;
  header->life[0] = 1;
  (void)memcpy(store.index + wmbt_index_header_bytes, "\x01\x01n", 3);
  atomic_store(&header->names, 1);
  publish_keys();
  store.pristine = malloc(store.length);
  if (store.pristine == NULL) exit(2);
  (void)memcpy(store.pristine, store.index, store.length);
}

/* Two bytes say where the piece lies, in header, names or entries; one how long it is. */
static void lay_over(const uint8_t *data, size_t size) {
  static const size_t starts[3] = {0, wmbt_index_header_bytes, wmbt_index_header_bytes + wmbt_index_names_bytes};
  static const size_t lengths[3] = {256, 4 * name_bytes, sizeof(struct wmbt_index_entry) << log2_capacity};
  while (size > 3) {
    const unsigned part = data[0] % 3;
    const size_t offset = (data[0] / 3 + (size_t)data[1] * 86) % lengths[part];
    size_t length = data[2] % 64;
    data += 3;
    size -= 3;
    if (length > size) length = size;
    if (length > lengths[part] - offset) length = lengths[part] - offset;
    (void)memcpy(store.index + starts[part] + offset, data, length);
    data += length;
    size -= length;
  }
}

static void read_all(struct wmbt_view *view) {
  struct wmbt_terms terms = {0};
  const struct wmbt_keys asked = {"n", keys, key_count, &terms};
  MUST(wmbt_reader_find(view, &asked) <= key_count);
  struct wmbt_borrow *borrow = wmbt_borrow_new(key_count, true);
  if (borrow == NULL) exit(2);
  unsigned sum = 0;
  wmbt_reader_lend(view, &asked, wmbt_kind_block, borrow);
  for (size_t i = 0; i < borrow->filled; i += 1) {
    MUST(borrow->lengths[i] <= segment_bytes);
    /* A payload that goes beyond the segment ends the process here. */
    if (borrow->lengths[i] > 0) sum += borrow->payloads[i][0] + (unsigned)borrow->payloads[i][borrow->lengths[i] - 1];
  }
  MUST(sum == 0);
  wmbt_borrow_free(borrow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (store.index == NULL) make_store();
  (void)memcpy(store.index, store.pristine, store.length);
  lay_over(data, size);
  struct wmbt_reader *reader = wmbt_reader_open(store.directory);
  if (reader == NULL) return 0;
  wmbt_readers_lock();
  struct wmbt_view *view = wmbt_reader_is_open(reader) ? wmbt_view_use(reader) : NULL;
  wmbt_readers_unlock();
  if (view != NULL) read_all(view);
  wmbt_reader_leave(reader);
  return 0;
}
