/*
 * The shared memory of a store: its index, header and names and entries, with a segment behind it. An input lies over
 * an index that is right, in pieces: where, how long, the bytes. What is lent must lie in the segment, and be what the
 * caller takes; what is noted must lie in the file for it.
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
enum { uses_bytes = segment_bytes / 4096 };

static struct {
  char directory[96];
  uint8_t *index, *pristine, *uses;
  size_t length;
} store;

static struct wmbt_key keys[key_count];
static size_t places[key_count];

/* The second name is that of a model: the second block is of it, and the third has decoded tokens. */
static struct wmbt_key model;

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
  static const char *const names[] = {"index", "clients", "segment-0", "uses-0"};
  char path[128];
  for (unsigned i = 0; i < sizeof names / sizeof names[0]; i += 1) {
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
        .location = UINT64_C(1) << 63 | i, .extent = 4000,
        .facts = (uint64_t)owner << 32 | (i == 1 ? 2U << 16 : 0) | (i == 2 ? 0x8000U : 0),
    };
    if (place < 0) exit(2);
    places[i] = (size_t)place;
    wmbt_index_publish(&index, (uint32_t)place, words, &payload);
  }
}

static void make_store(void) {
  const char *parent = getenv("TMPDIR");
  const int length = snprintf(store.directory, sizeof store.directory, "%s/wombatkv-fuzz-XXXXXX",
                              parent == NULL ? "/tmp" : parent);
  if (length < 0 || (size_t)length >= sizeof store.directory) exit(2);
  if (mkdtemp(store.directory) == NULL) exit(2);
  (void)atexit(remove_store);
  store.length = wmbt_index_bytes(log2_capacity);
  store.index = make_file("index", store.length);
  (void)make_file("clients", wmbt_clients_bytes_min);
  (void)make_file("segment-0", segment_bytes);
  store.uses = make_file("uses-0", uses_bytes);
  if (!wmbt_index_create(store.index, store.length, log2_capacity, segment_bytes)) exit(2);
  struct wmbt_index_header *header = (void *)store.index;
  header->life_at = life_at;
  header->life[0] = 1;
  (void)memcpy(store.index + wmbt_index_header_bytes, "\x01\x01n", 3);
  uint8_t *name = store.index + wmbt_index_header_bytes + name_bytes;
  (void)memset(&model, 0xab, sizeof model);
  (void)memcpy(name, "\x02\x40", 2);
  (void)memset(name + 2, 'a', 64);
  for (unsigned i = 0; i < 32; i += 1) name[2 + 2 * i + 1] = 'b';
  atomic_store(&header->names, 2);
  publish_keys();
  store.pristine = malloc(store.length);
  if (store.pristine == NULL) exit(2);
  (void)memcpy(store.pristine, store.index, store.length);
}

/* What an input may change, in header, names and entries: the rest of the file is long. */
static const size_t starts[3] = {0, wmbt_index_header_bytes, wmbt_index_header_bytes + wmbt_index_names_bytes};
static const size_t lengths[3] = {256, 4 * name_bytes, sizeof(struct wmbt_index_entry) << log2_capacity};

static void put_back(void) {
  for (unsigned i = 0; i < 3; i += 1) (void)memcpy(store.index + starts[i], store.pristine + starts[i], lengths[i]);
}

/* Two bytes say where the piece lies, in one of these parts or in the entry of a key; one how long it is. */
static void lay_over(const uint8_t *data, size_t size) {
  while (size > 3) {
    const unsigned part = data[0] % 4 < 3 ? data[0] % 4 : 2;
    const size_t any = data[0] / 4 + (size_t)data[1] * 64, entry = sizeof(struct wmbt_index_entry);
    const size_t offset = data[0] % 4 < 3 ? any % lengths[part] : places[data[1] % key_count] * entry + any % entry;
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

static struct wmbt_view *view_of(struct wmbt_reader *reader) {
  wmbt_readers_lock();
  struct wmbt_view *view = wmbt_reader_is_open(reader) ? wmbt_view_use(reader) : NULL;
  wmbt_readers_unlock();
  return view;
}

static void read_all(struct wmbt_reader *reader, struct wmbt_terms *terms) {
  const struct wmbt_keys asked = {"n", keys, key_count, terms};
  struct wmbt_view *view = view_of(reader);
  if (view == NULL) return;
  MUST(wmbt_reader_find(view, &asked) <= key_count);
  wmbt_reader_note_uses(view, &asked);
  struct wmbt_borrow *borrow = wmbt_borrow_new(key_count, true);
  if (borrow == NULL) exit(2);
  unsigned sum = 0;
  wmbt_reader_lend(view, &asked, wmbt_kind_block, borrow);
  const uint8_t *segment = atomic_load(&reader->segments[0]);
  for (size_t i = 0; i < borrow->filled; i += 1) {
    MUST(borrow->lengths[i] <= segment_bytes);
    const size_t start = (size_t)(borrow->payloads[i] - segment);
    MUST(borrow->payloads[i] >= segment && start <= segment_bytes && borrow->lengths[i] <= segment_bytes - start);
    if (terms->is_exact) MUST((borrow->shown[i].flags & WMBT_KV_DECODED) == 0);
    /* A payload that goes beyond the segment ends the process here. */
    if (borrow->lengths[i] > 0) sum += borrow->payloads[i][0] + (unsigned)borrow->payloads[i][borrow->lengths[i] - 1];
  }
  MUST(sum == 0);
  wmbt_borrow_free(borrow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (store.index == NULL) make_store();
  put_back();
  lay_over(data, size);
  struct wmbt_reader *reader = wmbt_reader_open(store.directory);
  if (reader == NULL) return 0;
  struct wmbt_terms plain = {0}, exact = {.is_exact = true}, of_model = {.fingerprint = &model};
  read_all(reader, &plain);
  read_all(reader, &exact);
  read_all(reader, &of_model);
  /* The rest of its page. */
  static const uint8_t nothing[4096 - uses_bytes];
  MUST(memcmp(store.uses + uses_bytes, nothing, sizeof nothing) == 0);
  wmbt_reader_leave(reader);
  return 0;
}
