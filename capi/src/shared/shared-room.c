#define _GNU_SOURCE

#include "shared-room.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Of Linux 5.14; older headers do not have it. */
#if defined(__linux__) && !defined(MADV_POPULATE_WRITE)
#define MADV_POPULATE_WRITE 23
#endif

void wmbt_room_meet(uint8_t *memory, size_t length) {
#if defined(MADV_POPULATE_WRITE)
  /* Takes half as long as a fault for each page. An older system does not know it. */
  if (madvise(memory, length, MADV_POPULATE_WRITE) == 0) return;
#endif
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  for (size_t at = 0; at < length; at += page) (void)*(const volatile uint8_t *)(memory + at);
}

#if defined(__linux__)

/* Of Linux 6.1; older headers do not have it. */
#if !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25
#endif

enum {
  /* What is asked for at once, first and later: asking costs a wait for every processor. */
  first_part_bytes = 4 * 1024 * 1024,
  part_bytes = 16 * 1024 * 1024,
  /*
   * How long is looked for huge pages; the rest of the range has others. A part takes some 4 ms where there are plenty.
   */
  patience_ms = 30,
};

static int64_t now_ms(void) {
  struct timespec time;
  (void)clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int allocate(int fd, off_t start, off_t length) {
  int fault;
  do {
    fault = posix_fallocate(fd, start, length);
  } while (fault == EINTR);
  return fault;
}

static void *map(int fd, off_t start, size_t length, int protection) {
  if (length < wmbt_huge_bytes) return mmap(NULL, length, protection, MAP_SHARED, fd, start);
  const size_t room_bytes = length + wmbt_huge_bytes;
  uint8_t *room = mmap(NULL, room_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return MAP_FAILED;
  uint8_t *place = room + (wmbt_huge_bytes - (uintptr_t)room % wmbt_huge_bytes) % wmbt_huge_bytes;
  if (mmap(place, length, protection, MAP_SHARED | MAP_FIXED, fd, start) == MAP_FAILED) {
    const int fault = errno;
    (void)munmap(room, room_bytes);
    errno = fault;
    return MAP_FAILED;
  }
  /* What is mapped ends with a whole page. */
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uint8_t *end = place + (length + page - 1) / page * page;
  if (place > room) (void)munmap(room, (size_t)(place - room));
  if (end < room + room_bytes) (void)munmap(end, (size_t)(room + room_bytes - end));
  return place;
}

/* The range is whole huge pages. Those of which the file has nothing yet are not made: so each is begun. */
static int collapse(int fd, off_t start, uint8_t *memory, size_t length) {
  for (size_t at = 0; at < length; at += wmbt_huge_bytes) {
    if (allocate(fd, start + (off_t)at, 1) != 0) return -1;
  }
  return madvise(memory, length, MADV_COLLAPSE);
}

/*
 * Makes huge pages of what the range has room for, until the system refuses one, they are dear, or it takes too long.
 */
static void make_huge(int fd, off_t start, off_t end) {
  const off_t first = (start + wmbt_huge_bytes - 1) / wmbt_huge_bytes * wmbt_huge_bytes;
  const off_t last = end / wmbt_huge_bytes * wmbt_huge_bytes;
  if (first >= last) return;
  const size_t length = (size_t)(last - first);
  uint8_t *memory = map(fd, first, length, PROT_READ | PROT_WRITE);
  if (memory == MAP_FAILED) return;
  const int64_t until = now_ms() + patience_ms;
  size_t most = first_part_bytes;
  for (size_t at = 0; at < length && now_ms() < until && wmbt_huge_are_cheap(); at += most, most = part_bytes) {
    const size_t part = length - at < most ? length - at : most;
    const int64_t begin_ns = wmbt_huge_begin();
    if (collapse(fd, first + (off_t)at, memory + at, part) != 0) break;
    wmbt_huge_end(begin_ns, part / wmbt_huge_bytes);
  }
  (void)munmap(memory, length);
}

int wmbt_room_reserve(int fd, off_t start, off_t length) {
  make_huge(fd, start, start + length);
  return allocate(fd, start, length);
}

void *wmbt_room_map(int fd, size_t length, int protection) { return map(fd, 0, length, protection); }

#else

int wmbt_room_reserve(int fd, off_t start, off_t length) { return (void)fd, (void)start, (void)length, ENOTSUP; }

void *wmbt_room_map(int fd, size_t length, int protection) {
  return mmap(NULL, length, protection, MAP_SHARED, fd, 0);
}

#endif
