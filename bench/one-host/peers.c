/*
 * What an engine could use on one host instead, as peers.c PEER PLACE: `redis` behind the Unix socket PLACE, `files` or
 * `lmdb` in the directory PLACE. One thread. Orders and answers are those of client.c, as far as they are here:
 *
 *   index COUNT           puts so many values of 8 bytes under random names: COUNT
 *   lookup CALLS          asks for 80 of them in one call, other ones each time
 *   fill COUNT BYTES      makes blocks, and puts none: COUNT
 *   put CALLS             all blocks in one put, under new names in each
 *   drop                  removes every block that was put: how many. Then their memory is there for the next ones
 *   get CALLS             all blocks that were put last in one get
 *   touch CALLS           the same, and a byte of each page is read
 *   one CALLS             one block in a get: mean
 *   out CALLS             all of them, copied to other memory
 *   verify                gets the blocks that were put last and compares their bytes: how many
 *
 * Gets of Redis and of files bring the bytes into memory of this process; those of LMDB show where they lie.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>

#include "timing.h"

enum { chain_blocks = 80, name_bytes = 64, blocks_max = 4096, kept_max = 65536, part_blocks = 1000 };

typedef char name[name_bytes + 1];

struct peer {
  const char *kind;
  void (*open)(const char *place);
  void (*put)(const name *names, const uint8_t *const *bytes, const size_t *lengths, size_t count);
  /* Sets `found` and `found_lens`, which hold until `release`. */
  void (*get)(const name *names, size_t count);
  void (*release)(size_t count);
  void (*drop)(const name *names, size_t count);
  size_t (*look_up)(const char *const *names, size_t count);
};

static const uint8_t *found[blocks_max];
static size_t found_lens[blocks_max];
static uint8_t *target;
static const char *fault;

static const char *reason(void) {
  return fault != NULL ? fault : strerror(errno);
}

#include "redis-peer.h"

/* ---- Plain files: each is written beside its place and renamed, so that it is there whole or not. ---- */

static void files_open(const char *place) {
  check(chdir(place) == 0, place);
}

static void files_put(const name *names, const uint8_t *const *bytes, const size_t *lengths, size_t count) {
  for (size_t i = 0; i < count; i += 1) {
    const int file = open("new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(file >= 0, "create a file");
    for (size_t at = 0; at < lengths[i];) {
      const ssize_t written = write(file, bytes[i] + at, lengths[i] - at);
      check(written > 0, "write a file");
      at += (size_t)written;
    }
    check(close(file) == 0 && rename("new", names[i]) == 0, "rename a file");
  }
}

static void files_get(const name *names, size_t count) {
  uint8_t *to = target;
  for (size_t i = 0; i < count; i += 1) {
    struct stat about;
    const int file = open(names[i], O_RDONLY | O_CLOEXEC);
    check(file >= 0 && fstat(file, &about) == 0, "open a file");
    found[i] = to;
    found_lens[i] = (size_t)about.st_size;
    for (size_t at = 0; at < found_lens[i];) {
      const ssize_t taken = read(file, to + at, found_lens[i] - at);
      check(taken > 0, "read a file");
      at += (size_t)taken;
    }
    to += found_lens[i];
    close(file);
  }
}

static void files_release(size_t count) {
  (void)count;
}

static void files_drop(const name *names, size_t count) {
  for (size_t i = 0; i < count; i += 1) check(unlink(names[i]) == 0, "remove a file");
}

static size_t files_look_up(const char *const *names, size_t count) {
  size_t known = 0;
  while (known < count && access(names[known], F_OK) == 0) known += 1;
  return known;
}

/* ---- LMDB ---- */

static MDB_env *environment;
static MDB_dbi database;
static MDB_txn *reading;

static void check_lmdb(int rc, const char *what) {
  fault = mdb_strerror(rc);
  check(rc == MDB_SUCCESS, what);
  fault = NULL;
}

static MDB_txn *begin(unsigned flags) {
  MDB_txn *transaction = NULL;
  check_lmdb(mdb_txn_begin(environment, NULL, flags, &transaction), "begin");
  return transaction;
}

static void lmdb_open(const char *place) {
  check_lmdb(mdb_env_create(&environment), "create");
  check_lmdb(mdb_env_set_mapsize(environment, (size_t)4 << 30), "size");
  check_lmdb(mdb_env_open(environment, place, MDB_NOSYNC | MDB_WRITEMAP | MDB_NORDAHEAD, 0600), place);
  MDB_txn *transaction = begin(0);
  check_lmdb(mdb_dbi_open(transaction, NULL, MDB_CREATE, &database), "open");
  check_lmdb(mdb_txn_commit(transaction), "commit");
  reading = begin(MDB_RDONLY);
  mdb_txn_reset(reading);
}

static MDB_val value_of(const void *bytes, size_t length) {
  return (MDB_val){.mv_size = length, .mv_data = (void *)bytes};
}

static void lmdb_put(const name *names, const uint8_t *const *bytes, const size_t *lengths, size_t count) {
  MDB_txn *transaction = begin(0);
  for (size_t i = 0; i < count; i += 1) {
    MDB_val key = value_of(names[i], name_bytes), data = value_of(bytes[i], lengths[i]);
    check_lmdb(mdb_put(transaction, database, &key, &data, 0), "put");
  }
  check_lmdb(mdb_txn_commit(transaction), "commit");
}

static void lmdb_get(const name *names, size_t count) {
  check_lmdb(mdb_txn_renew(reading), "renew");
  for (size_t i = 0; i < count; i += 1) {
    MDB_val key = value_of(names[i], name_bytes), data;
    check_lmdb(mdb_get(reading, database, &key, &data), "get");
    found[i] = data.mv_data;
    found_lens[i] = data.mv_size;
  }
}

static void lmdb_release(size_t count) {
  (void)count;
  mdb_txn_reset(reading);
}

/* Pages that one transaction frees are used again by the one after the next. */
static void lmdb_drop(const name *names, size_t count) {
  MDB_txn *transaction = begin(0);
  for (size_t i = 0; i < count; i += 1) {
    MDB_val key = value_of(names[i], name_bytes);
    check_lmdb(mdb_del(transaction, database, &key, NULL), "delete");
  }
  check_lmdb(mdb_txn_commit(transaction), "commit");
  static const name other = "between two transactions, a value that is not asked for: 64 bytes";
  static const uint8_t byte;
  lmdb_put(&other, (const uint8_t *const[]){&byte}, (const size_t[]){1}, 1);
}

static size_t lmdb_look_up(const char *const *names, size_t count) {
  check_lmdb(mdb_txn_renew(reading), "renew");
  size_t known = 0;
  for (; known < count; known += 1) {
    MDB_val key = value_of(names[known], name_bytes), data;
    const int rc = mdb_get(reading, database, &key, &data);
    if (rc == MDB_NOTFOUND) break;
    check_lmdb(rc, "get");
  }
  mdb_txn_reset(reading);
  return known;
}

/* ---- The same for each ---- */

static const struct peer peers[] = {
    {"redis", redis_open, redis_put, redis_get, redis_release, redis_drop, redis_look_up},
    {"files", files_open, files_put, files_get, files_release, files_drop, files_look_up},
    {"lmdb", lmdb_open, lmdb_put, lmdb_get, lmdb_release, lmdb_drop, lmdb_look_up},
};

static const struct peer *peer;
static name *indexed, kept[kept_max];
static const uint8_t *payloads[blocks_max];
static size_t lens[blocks_max], block_count, indexed_count, kept_count;

/* Other ones in each process: those of Redis share a server. */
static void make_name(name digits) {
  static uint64_t made;
  snprintf(digits, sizeof(name), "%016llx%08x%08x%016llx%016llx", (unsigned long long)next_random(), (unsigned)getpid(),
           (unsigned)made, (unsigned long long)next_random(), (unsigned long long)next_random());
  made += 1;
}

static void make_index(size_t count) {
  static uint8_t value[8] = "a value";
  const uint8_t *bytes[part_blocks];
  size_t lengths[part_blocks];
  for (size_t i = 0; i < part_blocks; i += 1) bytes[i] = value, lengths[i] = sizeof value;
  indexed = malloc(count * sizeof *indexed);
  check(indexed != NULL, "memory for names");
  for (size_t i = 0; i < count; i += 1) make_name(indexed[i]);
  for (size_t at = 0; at < count; at += part_blocks) {
    peer->put(indexed + at, bytes, lengths, count - at < part_blocks ? count - at : part_blocks);
  }
  indexed_count = count;
  printf("%zu\n", count);
}

static void look_up(size_t calls) {
  int64_t *times = new_times(calls);
  static name chain[chain_blocks];
  const char *names[chain_blocks];
  for (size_t call = 0; call < calls; call += 1) {
    for (size_t i = 0; i < chain_blocks; i += 1) {
      memcpy(chain[i], indexed[next_random() % indexed_count], sizeof chain[i]);
      names[i] = chain[i];
    }
    const int64_t start = now();
    const size_t known = peer->look_up(names, chain_blocks);
    times[call] = now() - start;
    check(known == chain_blocks, "lookup");
  }
  print_times(times, calls);
}

static void fill_blocks(size_t count, size_t length) {
  check(count <= blocks_max && block_count == 0, "number of blocks");
  const struct block_memory memory = new_blocks(count, length);
  target = memory.target;
  for (size_t i = 0; i < count; i += 1) {
    payloads[i] = memory.payloads + i * length;
    lens[i] = length;
  }
  block_count = count;
  printf("%zu\n", count);
}

static void put_all(size_t calls) {
  int64_t *times = new_times(calls);
  check(kept_count + calls * block_count <= kept_max, "number of names");
  for (size_t call = 0; call < calls; call += 1) {
    for (size_t i = 0; i < block_count; i += 1) make_name(kept[kept_count + i]);
    const int64_t start = now();
    peer->put(kept + kept_count, payloads, lens, block_count);
    times[call] = now() - start;
    kept_count += block_count;
  }
  print_times(times, calls);
}

static void drop_all(void) {
  for (size_t at = 0; at < kept_count; at += part_blocks) {
    peer->drop(kept + at, kept_count - at < part_blocks ? kept_count - at : part_blocks);
  }
  printf("%zu\n", kept_count);
  kept_count = 0;
}

static const name *last_names(void) {
  check(block_count > 0 && kept_count >= block_count, "blocks that were put");
  return kept + kept_count - block_count;
}

enum use { only_found, touched, copied };

static void get_all(size_t calls, enum use use) {
  int64_t *times = new_times(calls);
  uint8_t *copy = malloc(block_count * lens[0]);
  check(copy != NULL, "memory");
  memset(copy, 1, block_count * lens[0]);
  for (size_t call = 0; call < calls; call += 1) {
    const int64_t start = now();
    peer->get(last_names(), block_count);
    for (size_t i = 0; use == touched && i < block_count; i += 1) touch(found[i], found_lens[i]);
    for (size_t i = 0; use == copied && i < block_count; i += 1) memcpy(copy + i * lens[i], found[i], lens[i]);
    peer->release(block_count);
    times[call] = now() - start;
  }
  free(copy);
  print_times(times, calls);
}

static void get_one(size_t calls) {
  const int64_t start = now();
  for (size_t call = 0; call < calls; call += 1) {
    peer->get(last_names() + next_random() % block_count, 1);
    peer->release(1);
  }
  printf("%.1f\n", (double)(now() - start) / (double)calls);
}

static void verify(void) {
  peer->get(last_names(), block_count);
  for (size_t i = 0; i < block_count; i += 1) {
    check(found_lens[i] == lens[i] && memcmp(found[i], payloads[i], lens[i]) == 0,
          "a block comes back otherwise than it was put");
  }
  peer->release(block_count);
  printf("%zu\n", block_count);
}

static void obey(const char *order, size_t number, size_t length) {
  if (strcmp(order, "index") == 0) return make_index(number);
  if (strcmp(order, "lookup") == 0) return look_up(number);
  if (strcmp(order, "fill") == 0) return fill_blocks(number, length);
  if (strcmp(order, "put") == 0) return put_all(number);
  if (strcmp(order, "drop") == 0) return drop_all();
  if (strcmp(order, "get") == 0) return get_all(number, only_found);
  if (strcmp(order, "touch") == 0) return get_all(number, touched);
  if (strcmp(order, "out") == 0) return get_all(number, copied);
  if (strcmp(order, "one") == 0) return get_one(number);
  check(strcmp(order, "verify") == 0, order);
  verify();
}

int main(int count, char **words) {
  check(count == 3, "peers PEER PLACE");
  for (size_t i = 0; i < sizeof peers / sizeof *peers; i += 1) {
    if (strcmp(peers[i].kind, words[1]) == 0) peer = &peers[i];
  }
  check(peer != NULL, words[1]);
  peer->open(words[2]);
  take_orders(obey);
  return 0;
}
