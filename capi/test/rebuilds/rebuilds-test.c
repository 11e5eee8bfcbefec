/*
 * A store that builds its index anew all the time, and readers in other processes that look into whichever index they
 * had, stop where it hurts, and compare every word that they pin (docs/decisions/0100). No daemon, and no memory is
 * given back: a reader that is stopped finds an index as it was superseded, so that nothing but the protocol protects
 * it.
 */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../src/shared/shared-index.h"

enum { log2_capacity = 6, index_count = 3000, place_count = 8, word_count = 32, reader_count = 3, owner = 257 };

struct place {
  /* What is shown there, by its number; 0: nothing. */
  _Atomic uint64_t shown;
  /* Written and read without any order but that of the protocol. */
  uint64_t words[word_count];
};

/* All that the processes share; each index lies in memory of its own and is never used for another. */
static struct {
  struct place *places;
  struct wmbt_client *clients;
  uint8_t *indexes;
  _Atomic uint32_t *current;
  _Atomic uint64_t *pinned, *refused;
} shared;

static uint64_t dice_state = 88172645463325252u;

static uint64_t dice(void) {
  dice_state ^= dice_state << 13;
  dice_state ^= dice_state >> 7;
  dice_state ^= dice_state << 17;
  return dice_state;
}

static int64_t now_ms(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Mostly for no time; now and then long enough for the store to build its index anew. */
static void rest(void) {
  const uint64_t thrown = dice() % 64;
  if (thrown == 0) (void)usleep((useconds_t)(dice() % 300));
  for (volatile uint64_t i = 0; i < thrown * 8; i += 1) continue;
}

static void *zeros(size_t length) {
  void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) exit(2);
  return memory;
}

static struct wmbt_index index_at(uint32_t number) {
  const size_t bytes = wmbt_index_bytes(log2_capacity);
  struct wmbt_index index;
  if (!wmbt_index_open(shared.indexes + number * bytes, bytes, &index)) exit(2);
  return index;
}

static void make_index(uint32_t number) {
  const size_t bytes = wmbt_index_bytes(log2_capacity);
  if (!wmbt_index_create(shared.indexes + number * bytes, bytes, log2_capacity, 1 << 20)) exit(2);
}

static void key_of(uint64_t serial, uint64_t key[4]) {
  for (unsigned i = 0; i < 4; i += 1) key[i] = (serial + i) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t location_of(unsigned place) { return UINT64_C(1) << 63 | place; }

/* Which entry shows each place, in the index of now; -1: none, and perhaps it is still read. */
static int64_t entries[place_count];

static void show(const struct wmbt_index *index, unsigned place, uint64_t serial) {
  uint64_t key[4];
  key_of(serial, key);
  for (unsigned i = 0; i < word_count; i += 1) shared.places[place].words[i] = serial;
  const struct wmbt_found payload = {.location = location_of(place), .facts = (uint64_t)owner << 32};
  entries[place] = wmbt_index_place(index, key, owner);
  if (entries[place] < 0) exit(2);
  wmbt_index_publish(index, (uint32_t)entries[place], key, &payload);
  atomic_store_explicit(&shared.places[place].shown, serial, memory_order_release);
}

/* Shows something else at some places, where nobody pins what was shown there. */
static void use_again(const struct wmbt_index *index, uint64_t *serial) {
  for (unsigned i = 0; i < 3; i += 1) {
    const unsigned place = (unsigned)(dice() % place_count);
    if (entries[place] >= 0) wmbt_index_retire(index, (uint32_t)entries[place]);
    entries[place] = -1;
    if (wmbt_clients_hold(shared.clients, location_of(place)) < 0) show(index, place, *serial += 1);
  }
}

static void store(void) {
  uint64_t serial = 0;
  struct wmbt_index index = index_at(0);
  for (unsigned place = 0; place < place_count; place += 1) show(&index, place, serial += 1);
  for (uint32_t number = 1; number < index_count; number += 1) {
    use_again(&index, &serial);
    make_index(number);
    const struct wmbt_index next = index_at(number);
    for (unsigned place = 0; place < place_count; place += 1) {
      if (entries[place] >= 0) entries[place] = wmbt_index_carry(&index, (uint32_t)entries[place], &next);
    }
    atomic_store(shared.current, number);
    atomic_store(&index.header->state, wmbt_index_is_superseded);
    index = next;
    use_again(&index, &serial);
    rest();
  }
  atomic_store(&index.header->state, wmbt_index_is_closed);
}

static void check(const struct place *place, uint64_t serial, uint32_t number) {
  for (unsigned i = 0; i < word_count; i += 1) {
    if (place->words[i] == serial) continue;
    (void)printf("# index %u: %llu was pinned, and %llu was read\n", (unsigned)number, (unsigned long long)serial,
                 (unsigned long long)place->words[i]);
    (void)fflush(stdout);
    _exit(1);
  }
}

/* One look for what is shown, in the index that the reader has. False when that is no use any more. */
static bool look(struct wmbt_client *client, const struct wmbt_index *index, uint32_t number) {
  const struct place *place = &shared.places[dice() % place_count];
  const uint64_t serial = atomic_load_explicit(&place->shown, memory_order_relaxed);
  uint64_t key[4];
  key_of(serial, key);
  struct wmbt_found found;
  if (!wmbt_index_find(index, key, owner, &found)) return atomic_load(&index->header->state) == wmbt_index_is_open;
  rest();
  wmbt_pin_announce(client, 0, found.location);
  rest();
  const bool is_current = wmbt_pin_fence_in(index);
  if (!is_current || !wmbt_pin_confirm(index, client, 0, &found)) {
    wmbt_pin_release(client, 0);
    atomic_fetch_add(shared.refused, 1);
    return is_current;
  }
  check(place, serial, number);
  rest();
  check(place, serial, number);
  wmbt_pin_release(client, 0);
  atomic_fetch_add(shared.pinned, 1);
  return true;
}

static int reader(unsigned slot) {
  dice_state += slot * UINT64_C(0x9e3779b97f4a7c15);
  struct wmbt_client *client = &shared.clients[slot];
  atomic_store(&client->is_active, 1);
  for (const int64_t end = now_ms() + 60000; now_ms() < end;) {
    const uint32_t number = atomic_load(shared.current);
    const struct wmbt_index index = index_at(number);
    while (look(client, &index, number)) continue;
    if (atomic_load(&index.header->state) == wmbt_index_is_closed) return 0;
  }
  return 2;
}

int main(void) {
  shared.places = zeros(place_count * sizeof *shared.places);
  shared.clients = zeros(wmbt_client_slots * sizeof *shared.clients);
  shared.indexes = zeros(index_count * wmbt_index_bytes(log2_capacity));
  _Atomic uint64_t *counts = zeros(2 * sizeof *counts);
  shared.pinned = &counts[0];
  shared.refused = &counts[1];
  shared.current = zeros(sizeof *shared.current);
  pid_t children[reader_count];
  make_index(0);
  for (unsigned i = 0; i < reader_count; i += 1) {
    children[i] = fork();
    if (children[i] == 0) _exit(reader(i));
  }
  store();
  bool is_right = true;
  for (unsigned i = 0; i < reader_count; i += 1) {
    int status = -1;
    (void)waitpid(children[i], &status, 0);
    is_right = is_right && status == 0;
  }
  (void)printf("pinned %llu, refused %llu\n", (unsigned long long)atomic_load(shared.pinned),
               (unsigned long long)atomic_load(shared.refused));
  (void)printf("%s\n", is_right ? "every pinned word was the one that was shown" : "wrong words were read");
  return is_right ? 0 : 1;
}
