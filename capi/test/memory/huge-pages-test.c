/*
 * Huge pages are asked for while they are cheap, and not for a while behind one that was dear: of memory for payloads
 * and of shared files. Which memory has huge pages the system says; where it has none at all, only that none are asked
 * for is seen.
 */
#define _GNU_SOURCE
#include "huge-pages-test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../src/library/bounds.h"
#include "../../src/library/clock.h"
#include "../../src/library/payload-memory.h"
#include "../../src/shared/shared-room.h"

enum { kib = 1024, mib = 1024 * 1024, region_bytes = 8 * mib };

static const int64_t cheap_ns = (wmbt_huge_dear_us - 1) * 1000, dear_ns = wmbt_huge_dear_us * 1000;

static void require(bool is_so, const char *what) {
  if (is_so) return;
  (void)printf("not ok huge pages: %s\n", what);
  (void)fflush(stdout);
  _Exit(1);
}

/* The kilobytes that the system says of the mappings in that range under that word; -1 where it tells nothing. */
static long said_of(const uint8_t *memory, size_t bytes, const char *word) {
  FILE *maps = fopen("/proc/self/smaps", "r");
  if (maps == NULL) return -1;
  char line[512];
  unsigned long begin, end;
  long sum = 0, some;
  bool is_inside = false;
  while (fgets(line, sizeof line, maps) != NULL) {
    if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) {
      is_inside = begin < (uintptr_t)memory + bytes && end > (uintptr_t)memory;
    } else if (is_inside && strncmp(line, word, strlen(word)) == 0 &&
               sscanf(line + strlen(word), ": %ld", &some) == 1) {
      sum += some;
    }
  }
  (void)fclose(maps);
  return sum;
}

/* Whether the system gives any to who asks for them. */
static bool are_given(void) {
  FILE *setting = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
  char line[128] = "";
  const bool is_read = setting != NULL && fgets(line, sizeof line, setting) != NULL;
  if (setting != NULL) (void)fclose(setting);
  return is_read && strstr(line, "[never]") == NULL;
}

static void wait_out(void) {
  const int64_t until = wmbt_now_ms() + wmbt_huge_rest_ms + 1;
  while (wmbt_now_ms() < until) (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static void noted(void) {
  wait_out();
  wmbt_huge_note(cheap_ns, 1);
  wmbt_huge_note(8 * cheap_ns, 8);
  require(wmbt_huge_are_cheap(), "what takes little is cheap");
  wmbt_huge_note(8 * dear_ns, 8);
  require(!wmbt_huge_are_cheap(), "what takes much is dear");
  wmbt_huge_note(cheap_ns, 1);
  require(!wmbt_huge_are_cheap(), "one that was cheap says nothing of the next");
  wait_out();
  require(wmbt_huge_are_cheap(), "they are tried again");
}

/* Kilobytes of huge pages of a new region that is filled with payloads. */
static long huge_of_region(void) {
  struct wmbt_region *region = wmbt_region_take(region_bytes);
  require(region != NULL && region->bytes >= region_bytes, "a region");
  uint8_t *payload;
  while ((payload = wmbt_region_add(region, 300 * kib)) != NULL) (void)memset(payload, 7, 300 * kib);
  const long kilobytes = said_of(region->memory, region->bytes, "AnonHugePages");
  wmbt_region_give(region);
  wmbt_payload_memory_rest(wmbt_now_ms() + WMBT_KEPT_REST_MS);
  return kilobytes;
}

/* The same of a shared file's memory. */
static long huge_of_file(void) {
  const int file = memfd_create("huge-pages-test", MFD_CLOEXEC);
  require(file >= 0 && ftruncate(file, region_bytes) == 0, "a file in memory");
  require(wmbt_room_reserve(file, 0, region_bytes) == 0, "memory for it");
  uint8_t *memory = wmbt_room_map(file, region_bytes, PROT_READ | PROT_WRITE);
  require(memory != MAP_FAILED, "a mapping of it");
  (void)memset(memory, 7, region_bytes);
  const long kilobytes = said_of(memory, region_bytes, "ShmemPmdMapped");
  (void)munmap(memory, region_bytes);
  (void)close(file);
  return kilobytes;
}

void test_huge_pages(void) {
  wmbt_payload_memory_rest(wmbt_now_ms() + WMBT_KEPT_REST_MS);
  noted();
  wmbt_huge_note(dear_ns, 1);
  require(huge_of_region() <= 0, "memory for payloads asks for none while they are dear");
  wmbt_huge_note(dear_ns, 1);
  require(huge_of_file() <= 0, "a shared file asks for none while they are dear");
  wait_out();
  /* The first page is asked for, whatever it takes. */
  require(!are_given() || huge_of_region() > 0, "memory for payloads has some while they are cheap");
}
