/* Shared memory that is foreign, cut or changed: it is not used, and the socket serves. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared.h"

enum { path_max = 4400, unit = 4096 };

/* The daemon's announcement and memory, and a copy of its memory that is announced instead. */
struct place {
  char announcement[path_max], original[path_max], copy[path_max];
};

static void join(char path[path_max], const char *directory, const char *name) {
  if (snprintf(path, path_max, "%.4000s/%.300s", directory, name) >= path_max) exit(2);
}

static void write_all(int fd, const void *bytes, size_t length, off_t at) {
  if (pwrite(fd, bytes, length, at) != (ssize_t)length) exit(2);
}

static void announce(const struct place *place, const char *text) {
  const int fd = open(place->announcement, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) exit(2);
  write_all(fd, text, strlen(text), 0);
  (void)close(fd);
}

/* Copies a file that may be mostly holes. */
static void copy_file(const struct place *place, const char *name) {
  char from[path_max], to[path_max];
  join(from, place->original, name);
  join(to, place->copy, name);
  (void)unlink(to);
  const int source = open(from, O_RDONLY | O_CLOEXEC), target = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  static char buffer[65536], zeros[65536];
  off_t at = 0;
  ssize_t got = 0;
  while (source >= 0 && (got = pread(source, buffer, sizeof buffer, at)) > 0) {
    if (memcmp(buffer, zeros, (size_t)got) != 0) write_all(target, buffer, (size_t)got, at);
    at += got;
  }
  if (source < 0 || target < 0 || got < 0 || ftruncate(target, at) != 0) exit(2);
  (void)close(source);
  (void)close(target);
}

static struct place find_place(void) {
  struct place place;
  const char *home = getenv("HOME"), *directory = getenv("WMBT_KV_RUNTIME_DIR");
  if (home == NULL || directory == NULL) exit(2);
  join(place.announcement, directory, "capi.sock.shm");
  FILE *file = fopen(place.announcement, "r");
  if (file == NULL || fgets(place.original, sizeof place.original, file) == NULL) exit(2);
  (void)fclose(file);
  place.original[strcspn(place.original, "\n")] = '\0';
  join(place.copy, home, "copy-XXXXXX");
  if (mkdtemp(place.copy) == NULL) exit(2);
  return place;
}

/* Writes bytes into a file of the copy. */
static void put(const struct place *place, const char *name, off_t at, const void *bytes, size_t length) {
  char path[path_max];
  join(path, place->copy, name);
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) exit(2);
  write_all(fd, bytes, length, at);
  (void)close(fd);
}

static void put_u32(const struct place *place, off_t at, uint32_t value) {
  put(place, "index", at, &value, sizeof value);
}

static void put_u64(const struct place *place, off_t at, uint64_t value) {
  put(place, "index", at, &value, sizeof value);
}

static uint32_t u32_at(const struct place *place, off_t at) {
  char path[path_max];
  join(path, place->copy, "index");
  uint32_t value = 0;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || pread(fd, &value, sizeof value, at) != sizeof value) exit(2);
  (void)close(fd);
  return value;
}

static void cut(const struct place *place, const char *name, off_t length) {
  char path[path_max];
  join(path, place->copy, name);
  if (truncate(path, length) != 0) exit(2);
}

static void drop(const struct place *place, const char *name) {
  char path[path_max];
  join(path, place->copy, name);
  if (unlink(path) != 0) exit(2);
}

static void no_index(const struct place *place) { drop(place, "index"); }
static void empty_index(const struct place *place) { cut(place, "index", 0); }
static void short_index(const struct place *place) { cut(place, "index", 128 * 1024); }
static void other_magic(const struct place *place) { put_u32(place, 0, 7); }
static void other_version(const struct place *place) { put_u32(place, 8, 4); }
static void version_before(const struct place *place) { put_u32(place, 8, 2); }
static void larger_capacity(const struct place *place) { put_u32(place, 12, u32_at(place, 12) + 1); }
static void huge_capacity(const struct place *place) { put_u32(place, 12, 200); }
static void huge_segments(const struct place *place) { put_u64(place, 16, UINT64_C(1) << 60); }
static void no_segments(const struct place *place) { put_u64(place, 16, 0); }
static void is_closed(const struct place *place) { put_u32(place, 28, 1); }
static void shows_no_life(const struct place *place) { put_u32(place, 32, 0); }
static void life_beyond_header(const struct place *place) { put_u32(place, 32, 4096); }
static void life_at_odd_place(const struct place *place) { put_u32(place, 32, 65); }
static void is_dead(const struct place *place) { put_u32(place, (off_t)u32_at(place, 32), 0x40000000); }
static void no_clients(const struct place *place) { drop(place, "clients"); }
static void short_clients(const struct place *place) { cut(place, "clients", 8192 * 63); }
static void no_segment(const struct place *place) { drop(place, "segment-0"); }
static void short_segment(const struct place *place) { cut(place, "segment-0", unit); }

static void open_to_all(const struct place *place) {
  char path[path_max];
  join(path, place->copy, "index");
  if (chmod(path, 0666) != 0) exit(2);
}

static void index_is_pipe(const struct place *place) {
  char path[path_max];
  drop(place, "index");
  join(path, place->copy, "index");
  if (mkfifo(path, 0600) != 0) exit(2);
}

static void index_is_link(const struct place *place) {
  char path[path_max], target[path_max];
  drop(place, "index");
  join(path, place->copy, "index");
  join(target, place->original, "index");
  if (symlink(target, path) != 0) exit(2);
}

/* Every entry says that its payload lies a little behind the end of its segment, or in a file that is not there. */
static void spoil_locations(const struct place *place, uint64_t location) {
  const uint32_t count = UINT32_C(1) << u32_at(place, 12);
  for (uint32_t i = 0; i < count; i += 1) put_u64(place, 4096 + 131072 + (off_t)i * 64 + 40, location);
}

static void beyond_segment(const struct place *place) {
  spoil_locations(place, UINT64_C(1) << 63 | ((uint64_t)u32_at(place, 16) / unit - 1));
}

static void in_no_segment(const struct place *place) {
  spoil_locations(place, UINT64_C(1) << 63 | UINT64_C(999) << 40);
}

/* Every entry was being written when its store died: whoever looks does not wait for the end of that. */
static void half_written(const struct place *place) {
  const uint32_t count = UINT32_C(1) << u32_at(place, 12);
  for (uint32_t i = 0; i < count; i += 1) {
    const off_t entry = 4096 + 131072 + (off_t)i * 64;
    const uint32_t sequence = u32_at(place, entry);
    if (sequence != 0) put_u64(place, entry, sequence | 1);
  }
}

static const struct {
  const char *name;
  void (*spoil)(const struct place *place);
} spoils[] = {
    {"has no index", no_index},
    {"has an empty index", empty_index},
    {"has a short index", short_index},
    {"has another magic", other_magic},
    {"is of another version", other_version},
    {"is of the version before", version_before},
    {"claims more entries", larger_capacity},
    {"claims 2^200 entries", huge_capacity},
    {"claims huge segments", huge_segments},
    {"claims empty segments", no_segments},
    {"is closed", is_closed},
    {"shows no life", shows_no_life},
    {"shows life beyond its header", life_beyond_header},
    {"shows life at an odd place", life_at_odd_place},
    {"is a dead store's", is_dead},
    {"has no clients", no_clients},
    {"has too few clients", short_clients},
    {"may be written by others", open_to_all},
    {"has a pipe for an index", index_is_pipe},
    {"has a link for an index", index_is_link},
    {"points beyond its segment", beyond_segment},
    {"points into no segment", in_no_segment},
    {"was being written when its store died", half_written},
    /* From here on its payloads are gone. */
    {"has a short segment", short_segment},
    {"has no segment", no_segment},
};

static void fresh_copy(const struct place *place) {
  copy_file(place, "index");
  copy_file(place, "clients");
}

/* The blocks in the daemon's memory, and a copy of that. */
static struct place begin(wmbt_kv_handle_t **handle, struct batch *batch) {
  *handle = open_handle();
  *batch = batch_of("foreign", 3, 3 * unit);
  check_put(*handle, "", batch);
  struct loan loan = lend_blocks(*handle, batch);
  wmbt_kv_release_borrow(loan.borrow);
  struct place place = find_place();
  fresh_copy(&place);
  copy_file(&place, "segment-0");
  announce(&place, place.copy);
  return place;
}

static void end(const struct place *place, wmbt_kv_handle_t *handle, struct batch *batch) {
  announce(place, place->original);
  wmbt_kv_free(handle);
  batch_free(batch);
}

static void spoilt_files(void) {
  wmbt_kv_handle_t *handle;
  struct batch batch;
  const struct place place = begin(&handle, &batch);
  wmbt_kv_handle_t *other = open_handle();
  struct loan loan = borrow_blocks(other, &batch);
  /* Else it would not be the damage that is refused. */
  CHECK(is_lent(&loan, 3), "a whole copy is refused");
  check_unchanged(&loan, &batch, "in a copy");
  wmbt_kv_release_borrow(loan.borrow);
  wmbt_kv_free(other);
  for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i += 1) {
    fresh_copy(&place);
    spoils[i].spoil(&place);
    other = open_handle();
    check_lookup(other, "", &batch, 3);
    loan = borrow_blocks(other, &batch);
    check_unchanged(&loan, &batch, spoils[i].name);
    CHECK(!is_lent(&loan, 1), "memory is used that %s", spoils[i].name);
    check_get(other, "", &batch, 0, 3);
    wmbt_kv_release_borrow(loan.borrow);
    wmbt_kv_free(other);
  }
  end(&place, handle, &batch);
}

static void wrong_announcements(void) {
  static char long_path[6000];
  (void)memset(long_path, 'a', sizeof long_path - 1);
  long_path[0] = '/';
  const char *const texts[] = {"", "\n", "relative/path", "/nonexistent", "/dev/null", long_path};
  wmbt_kv_handle_t *handle;
  struct batch batch;
  const struct place place = begin(&handle, &batch);
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i += 1) {
    announce(&place, texts[i]);
    wmbt_kv_handle_t *other = open_handle();
    struct loan loan = borrow_blocks(other, &batch);
    CHECK(!is_lent(&loan, 1), "memory is used that is announced as %.20s", texts[i]);
    check_unchanged(&loan, &batch, "on its way");
    wmbt_kv_release_borrow(loan.borrow);
    wmbt_kv_free(other);
  }
  end(&place, handle, &batch);
}

/* Whatever it says then, nothing is read where nothing is mapped; the bytes may be others. */
static void noise_in_the_index(void) {
  wmbt_kv_handle_t *handle;
  struct batch batch;
  const struct place place = begin(&handle, &batch);
  for (uint64_t seed = 1; seed <= 40; seed += 1) {
    uint8_t noise[8 * 200];
    fresh_copy(&place);
    fill_bytes(noise, sizeof noise, seed);
    for (size_t i = 0; i < 200; i += 1) {
      uint32_t where;
      (void)memcpy(&where, noise + 8 * i, sizeof where);
      /* Every eighth in the header and the names. */
      const off_t most = i % 8 == 0 ? 4096 + 1024 : 600000;
      put(&place, "index", 8 + (off_t)where % most, noise + 8 * i + 4, 1 + seed % 4);
    }
    wmbt_kv_handle_t *other = open_handle();
    const uint8_t **payloads;
    const size_t *lens;
    wmbt_kv_borrow_t *borrow = NULL;
    const int32_t rc =
        wmbt_kv_get_kv_blocks_borrowed(other, "", batch.hashes, batch.count, &payloads, &lens, &borrow);
    unsigned sum = 0;
    for (size_t i = 0; rc == 1 && i < batch.count; i += 1) {
      for (size_t at = 0; at < lens[i]; at += 512) sum += payloads[i][at];
    }
    CHECK(rc == 1, "a get with noise in the index gives %d, %u", rc, sum);
    wmbt_kv_release_borrow(borrow);
    wmbt_kv_free(other);
  }
  end(&place, handle, &batch);
}

const struct test_case shared_file_tests[] = {
    {"shared memory that is not as it should be is not used", spoilt_files},
    {"an announcement that leads nowhere is not followed", wrong_announcements},
    {"noise in the index is survived", noise_in_the_index},
    {NULL, NULL},
};
