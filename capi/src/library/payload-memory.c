#include "payload-memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../shared/huge-pages.h"
#include "bounds.h"
#include "clock.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WMBT_POISONS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WMBT_POISONS 1
#endif

#ifdef WMBT_POISONS
#include <sanitizer/asan_interface.h>
/* Between two payloads, so that what is read behind one is found. */
enum { gap_bytes = 64 };
/* For what touches memory that may be part of such a gap. */
#define NOT_WATCHED __attribute__((no_sanitize("address")))
#else
#define NOT_WATCHED
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
enum { gap_bytes = 0 };
#endif

/* Payloads begin at lines of the processor's caches; long regions at huge pages. */
enum { line_bytes = 64, kept_max = 32 };

/*
 * What nobody uses. Each place is taken and filled by exchange alone, so there is no lock that a fork could find held.
 */
static _Atomic(struct wmbt_region *) kept[kept_max];
static _Atomic size_t kept_bytes;
static _Atomic size_t handles;
/* When a region was last taken. */
static _Atomic int64_t taken_ms;

static size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

static bool is_long(size_t bytes) { return bytes >= wmbt_huge_bytes; }

static void free_region(struct wmbt_region *region) {
  ASAN_UNPOISON_MEMORY_REGION(region->memory, region->bytes);
  if (is_long(region->bytes)) (void)munmap(region->memory, region->bytes);
  else free(region->memory);
  free(region);
}

/* It begins at a huge page. Not of malloc, whose limits are the engine's. */
static uint8_t *map_long(size_t bytes) {
  const size_t whole = bytes + wmbt_huge_bytes;
  void *mapped = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return NULL;
  const size_t before = (wmbt_huge_bytes - (uintptr_t)mapped % wmbt_huge_bytes) % wmbt_huge_bytes;
  uint8_t *memory = (uint8_t *)mapped + before;
  if (before > 0) (void)munmap(mapped, before);
  if (before < wmbt_huge_bytes) (void)munmap(memory + bytes, wmbt_huge_bytes - before);
  return memory;
}

/* Touches the first byte of a page, which nobody has written yet; takes its time where it becomes a huge one. */
NOT_WATCHED static void touch(uint8_t *page) {
  const int64_t begin_ns = wmbt_huge_begin();
  *(volatile uint8_t *)page = 0;
  wmbt_huge_end(begin_ns, 1);
}

/*
 * Memory for what is used: whole huge pages while they are cheap, of which each is one fault in place of 512. Others
 * the system gives when they are written.
 */
static void make_ready(struct wmbt_region *region) {
#ifdef MADV_HUGEPAGE
  while (is_long(region->bytes) && region->ready < region->used) {
    uint8_t *page = region->memory + region->ready;
    region->ready += wmbt_huge_bytes;
    if (wmbt_huge_are_cheap() && madvise(page, wmbt_huge_bytes, MADV_HUGEPAGE) == 0) touch(page);
  }
#else
  (void)touch;
  region->ready = region->used;
#endif
}

static struct wmbt_region *make_region(size_t bytes) {
  struct wmbt_region *region = malloc(sizeof *region);
  if (region == NULL) return NULL;
  bytes = round_up(bytes, line_bytes);
  *region = (struct wmbt_region){.bytes = is_long(bytes) ? round_up(bytes, wmbt_huge_bytes) : bytes};
  void *memory = NULL;
  if (is_long(bytes)) memory = map_long(region->bytes);
  else if (posix_memalign(&memory, line_bytes, region->bytes) != 0) memory = NULL;
  region->memory = memory;
  if (memory != NULL) return region;
  free(region);
  return NULL;
}

/* Puts a region there; false when the place is taken. */
static bool put(size_t place, struct wmbt_region *region) {
  struct wmbt_region *none = NULL;
  return atomic_compare_exchange_strong(&kept[place], &none, region);
}

/* Takes the region there out of what is kept; NULL when there is none. */
static struct wmbt_region *take_out(size_t place) {
  if (atomic_load_explicit(&kept[place], memory_order_relaxed) == NULL) return NULL;
  struct wmbt_region *region = atomic_exchange(&kept[place], NULL);
  if (region != NULL) (void)atomic_fetch_sub_explicit(&kept_bytes, region->bytes, memory_order_relaxed);
  return region;
}

/* Keeps the region, or frees it. */
static void keep(struct wmbt_region *region) {
  const size_t before = atomic_fetch_add_explicit(&kept_bytes, region->bytes, memory_order_relaxed);
  const bool has_room = before <= WMBT_KEPT_BYTES_MAX && region->bytes <= WMBT_KEPT_BYTES_MAX - before;
  for (size_t i = 0; has_room && i < kept_max; i += 1) {
    if (put(i, region)) return;
  }
  (void)atomic_fetch_sub_explicit(&kept_bytes, region->bytes, memory_order_relaxed);
  free_region(region);
}

static void free_kept(void) {
  for (size_t i = 0; i < kept_max; i += 1) {
    struct wmbt_region *region = take_out(i);
    if (region != NULL) free_region(region);
  }
}

/* One that is long enough, and not so long that most of it would be lost. */
static struct wmbt_region *take_kept(size_t bytes) {
  if (atomic_load_explicit(&kept_bytes, memory_order_relaxed) == 0) return NULL;
  for (size_t i = 0; i < kept_max; i += 1) {
    struct wmbt_region *region = take_out(i);
    if (region == NULL) continue;
    if (region->bytes >= bytes && region->bytes / 2 <= bytes) return region;
    keep(region);
  }
  return NULL;
}

size_t wmbt_region_bytes_for(size_t length) { return round_up(length + gap_bytes, line_bytes); }

struct wmbt_region *wmbt_region_take(size_t bytes) {
  struct wmbt_region *region = NULL;
  if (bytes >= WMBT_KEPT_BYTES_MIN) {
    atomic_store_explicit(&taken_ms, wmbt_now_ms(), memory_order_relaxed);
    region = take_kept(bytes);
  }
  if (region == NULL) region = make_region(bytes);
  if (region == NULL) return NULL;
  region->used = 0;
  region->next = NULL;
  ASAN_POISON_MEMORY_REGION(region->memory, region->bytes);
  return region;
}

uint8_t *wmbt_region_add(struct wmbt_region *region, size_t length) {
  const size_t bytes = wmbt_region_bytes_for(length);
  if (bytes > region->bytes - region->used) return NULL;
  uint8_t *payload = region->memory + region->used;
  region->used += bytes;
  ASAN_UNPOISON_MEMORY_REGION(payload, length);
  make_ready(region);
  return payload;
}

void wmbt_region_drop_last(struct wmbt_region *region, const uint8_t *payload) {
  region->used = (size_t)(payload - region->memory);
  ASAN_POISON_MEMORY_REGION(payload, region->bytes - region->used);
}

void wmbt_region_give(struct wmbt_region *region) {
  ASAN_POISON_MEMORY_REGION(region->memory, region->bytes);
  if (region->bytes < WMBT_KEPT_BYTES_MIN) {
    free_region(region);
    return;
  }
  keep(region);
  /* Looked at behind it: the last handle may be closing, and have freed what was kept before. */
  if (atomic_load(&handles) == 0) free_kept();
}

void wmbt_payload_memory_enter(void) { (void)atomic_fetch_add(&handles, 1); }

void wmbt_payload_memory_leave(void) {
  if (atomic_fetch_sub(&handles, 1) == 1) free_kept();
}

size_t wmbt_payload_memory_kept(void) { return atomic_load_explicit(&kept_bytes, memory_order_relaxed); }

void wmbt_payload_memory_rest(int64_t now_ms) {
  if (now_ms - atomic_load_explicit(&taken_ms, memory_order_relaxed) >= WMBT_KEPT_REST_MS) free_kept();
}
