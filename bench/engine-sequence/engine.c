/*
 * An engine that is shaped like capi/examples/engine.c, with a state as large as a real one's: one step of its life in
 * a process of its own, on the store that the environment names, or on plain files.
 *
 *     engine STEP NAME BLOCKS BLOCK_BYTES TAIL_BYTES [FOLDER]
 *
 *   save      saves what is not stored, and the tail; then waits until the bucket has it
 *   restore   restores everything, twice
 *   write     writes a file for each block and one for the tail, beside its place, and renames it
 *   look      looks whether all of them are there, and writes the tail again, as a save of what is stored does
 *   read      reads all of them, twice; and copies as many bytes from memory to memory, nine times
 *
 * Prints lines of a word and a number: nanoseconds, or bytes; `stats` is followed by the counters of the store as JSON.
 * Whatever is restored is compared with what was saved, when the clock has stopped.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include <wombatkv.h>

#include "../one-host/timing.h"

enum { block_tokens = 128, tail_tokens = 77, blocks_max = 256, copies = 9, path_max = 4096 };

static const char space[] = "sequence";

static const char *reason(void) {
  return wmbt_kv_last_error();
}

/* The state, as bytes: blocks one behind another, then the tail. `target` is where the engine wants it. */
struct state {
  size_t blocks, block_bytes, tail_bytes;
  uint8_t *bytes, *target;
  int32_t tokens[blocks_max * block_tokens + tail_tokens];
  char seed[65], hashes[blocks_max][65];
  const char *chain[blocks_max];
};

static size_t length_of(const struct state *state) {
  return state->blocks * state->block_bytes + state->tail_bytes;
}

/* Other names have other tokens, and other bytes in every page. */
static void make_state(struct state *state, const char *name) {
  check(state->blocks <= blocks_max, "number of blocks");
  wmbt_kv_blake3_64hex((const uint8_t *)name, strlen(name), state->seed);
  const struct block_memory memory = new_blocks(1, length_of(state));
  state->bytes = memory.payloads;
  state->target = memory.target;
  for (size_t at = 0; at + 64 <= length_of(state); at += 4096) memcpy(state->bytes + at, state->seed, 64);
  for (size_t i = 0; i < state->blocks * block_tokens + tail_tokens; i += 1) {
    state->tokens[i] = (int32_t)((size_t)(unsigned char)state->seed[i % 64] * 1000 + i % 50000);
  }
}

static void hash_chain(struct state *state) {
  const char *tip = state->seed;
  for (size_t block = 0; block < state->blocks; block += 1) {
    uint8_t input[64 + 4 * block_tokens];
    memcpy(input, tip, 64);
    /* The machines that this is run on are little-endian. */
    memcpy(input + 64, state->tokens + block * block_tokens, 4 * block_tokens);
    wmbt_kv_blake3_64hex(input, sizeof input, state->hashes[block]);
    state->chain[block] = tip = state->hashes[block];
  }
}

static const char *tip_of(const struct state *state) {
  return state->blocks == 0 ? state->seed : state->chain[state->blocks - 1];
}

static void say(const char *what, int64_t number) {
  printf("%s %lld\n", what, (long long)number);
}

/* ------ On the store ------ */

/* Opened, and ready for calls. */
static wmbt_kv_handle_t *open_store(const struct state *state) {
  const int64_t start = now();
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  check(handle != NULL, "open");
  size_t matched = 0;
  const char *nobodys = state->seed;
  check(wmbt_kv_lookup(handle, space, &nobodys, 1, NULL, &matched) == 0 && matched == 0, "the first lookup");
  say("open", now() - start);
  return handle;
}

static void show_counters(wmbt_kv_handle_t *handle) {
  wmbt_kv_stats_t stats = WMBT_KV_STATS_INIT;
  wmbt_kv_borrow_t *borrow = NULL;
  check(wmbt_kv_stats(handle, space, NULL, &stats, &borrow) == 0, "statistics");
  printf("stats %s\n", stats.json);
  say("lent", (int64_t)stats.lent_bytes);
  wmbt_kv_release_borrow(borrow);
}

static void save_blocks(wmbt_kv_handle_t *handle, const struct state *state) {
  uint8_t present[blocks_max] = {0};
  wmbt_kv_block_t blocks[blocks_max];
  size_t first = 0, count = 0;
  check(wmbt_kv_contains(handle, space, state->chain, state->blocks, NULL, present) == 0, "contains");
  while (first < state->blocks && present[first] == 1) first += 1;
  for (size_t i = first; i < state->blocks; i += 1, count += 1) {
    const uint32_t position = (uint32_t)(i * block_tokens);
    const uint8_t *bytes = state->bytes + i * state->block_bytes;
    blocks[count] = (wmbt_kv_block_t){state->chain[i], bytes, state->block_bytes, block_tokens, position, 0, 0};
  }
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.parent = first == 0 ? NULL : state->chain[first - 1];
  check(wmbt_kv_save(handle, space, blocks, count, &call, NULL) == 0, "save");
}

static void save_tail(wmbt_kv_handle_t *handle, const struct state *state) {
  const size_t first = state->blocks * block_tokens;
  const uint8_t *bytes = state->bytes + state->blocks * state->block_bytes;
  const wmbt_kv_tail_t tail = {
      tip_of(state), state->tokens + first, tail_tokens, bytes, state->tail_bytes, (uint32_t)first, 0};
  check(wmbt_kv_save_tail(handle, space, &tail, NULL, NULL) == 0, "save the tail");
}

static void save(struct state *state) {
  wmbt_kv_handle_t *handle = open_store(state);
  const int64_t start = now();
  hash_chain(state);
  save_blocks(handle, state);
  save_tail(handle, state);
  say("save", now() - start);
  check(wmbt_kv_flush(handle, space, NULL) == 0, "flush");
  say("durable", now() - start);
  wmbt_kv_free(handle);
}

struct tail {
  wmbt_kv_handle_t *handle;
  const struct state *state;
  const wmbt_kv_payload_t *payload;
  wmbt_kv_borrow_t *borrow;
};

/* By a thread of its own, while the blocks come. */
static void *fetch_tail(void *argument) {
  struct tail *tail = argument;
  const struct state *state = tail->state;
  const int32_t *tokens = state->tokens + state->blocks * block_tokens;
  check(wmbt_kv_load_tail(tail->handle, space, tip_of(state), tokens, tail_tokens, NULL, &tail->payload,
                          &tail->borrow) == 1,
        "load the tail");
  return NULL;
}

static void install(const struct state *state, size_t at, const wmbt_kv_payload_t *payload, size_t length) {
  check(payload->length == length, "length of a payload");
  memcpy(state->target + at, payload->bytes, length);
}

static void restore_once(wmbt_kv_handle_t *handle, struct state *state) {
  size_t matched = 0, count = 0;
  const int64_t start = now();
  hash_chain(state);
  check(wmbt_kv_lookup(handle, space, state->chain, state->blocks, NULL, &matched) == 0, "lookup");
  check(matched == state->blocks, "all blocks are found");
  struct tail tail = {handle, state, NULL, NULL};
  pthread_t thread;
  check(pthread_create(&thread, NULL, fetch_tail, &tail) == 0, "thread");
  const wmbt_kv_payload_t *payloads = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  check(wmbt_kv_load(handle, space, state->chain, state->blocks, NULL, &payloads, &count, &borrow) == 1, "load");
  for (size_t i = 0; i < count; i += 1) install(state, i * state->block_bytes, &payloads[i], state->block_bytes);
  wmbt_kv_release_borrow(borrow);
  check(pthread_join(thread, NULL) == 0, "the thread's end");
  install(state, state->blocks * state->block_bytes, tail.payload, state->tail_bytes);
  wmbt_kv_release_borrow(tail.borrow);
  say("restore", now() - start);
}

static void compare_target(const struct state *state) {
  check(memcmp(state->target, state->bytes, length_of(state)) == 0, "what comes back is not what was saved");
  memset(state->target, 1, length_of(state));
}

static void restore(struct state *state) {
  wmbt_kv_handle_t *handle = open_store(state);
  for (int time = 0; time < 2; time += 1) {
    show_counters(handle);
    restore_once(handle, state);
    compare_target(state);
    show_counters(handle);
  }
  wmbt_kv_free(handle);
}

/* ------ On plain files ------ */

/* The file of a block, or of the tail behind the last. */
static void path_of(const struct state *state, const char *folder, size_t part, char path[path_max]) {
  if (part < state->blocks) snprintf(path, path_max, "%s/%s", folder, state->chain[part]);
  else snprintf(path, path_max, "%s/%s.tail", folder, tip_of(state));
}

static size_t part_bytes(const struct state *state, size_t part) {
  return part < state->blocks ? state->block_bytes : state->tail_bytes;
}

static void write_part(const struct state *state, const char *folder, size_t part) {
  char path[path_max], beside[path_max + 4];
  path_of(state, folder, part, path);
  snprintf(beside, sizeof beside, "%s.new", path);
  const int file = open(beside, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const size_t length = part_bytes(state, part);
  check(file >= 0 && write(file, state->bytes + part * state->block_bytes, length) == (ssize_t)length, beside);
  check(close(file) == 0 && rename(beside, path) == 0, path);
}

static void write_files(struct state *state, const char *folder) {
  const int64_t start = now();
  hash_chain(state);
  for (size_t part = 0; part <= state->blocks; part += 1) write_part(state, folder, part);
  say("save", now() - start);
}

static void look_at_files(struct state *state, const char *folder) {
  const int64_t start = now();
  hash_chain(state);
  for (size_t part = 0; part < state->blocks; part += 1) {
    char path[path_max];
    struct stat found;
    path_of(state, folder, part, path);
    check(stat(path, &found) == 0 && (size_t)found.st_size == part_bytes(state, part), path);
  }
  write_part(state, folder, state->blocks);
  say("save", now() - start);
}

static void read_files(struct state *state, const char *folder) {
  const int64_t start = now();
  hash_chain(state);
  for (size_t part = 0; part <= state->blocks; part += 1) {
    char path[path_max];
    path_of(state, folder, part, path);
    const int file = open(path, O_RDONLY);
    const size_t length = part_bytes(state, part);
    check(file >= 0 && read(file, state->target + part * state->block_bytes, length) == (ssize_t)length, path);
    close(file);
  }
  say("restore", now() - start);
  compare_target(state);
}

/* M, of the same bytes. */
static void copy_often(const struct state *state) {
  int64_t *times = new_times(copies);
  for (size_t copy = 0; copy < copies; copy += 1) {
    const int64_t start = now();
    memcpy(state->target, state->bytes, length_of(state));
    times[copy] = now() - start;
  }
  qsort(times, copies, sizeof *times, compare);
  say("copy", times[copies / 2]);
}

int main(int count, char **words) {
  static struct state state;
  check(count >= 6, "usage: engine STEP NAME BLOCKS BLOCK_BYTES TAIL_BYTES [FOLDER]");
  state.blocks = strtoul(words[3], NULL, 10);
  state.block_bytes = strtoul(words[4], NULL, 10);
  state.tail_bytes = strtoul(words[5], NULL, 10);
  make_state(&state, words[2]);
  const char *step = words[1], *folder = count > 6 ? words[6] : ".";
  if (strcmp(step, "save") == 0) save(&state);
  else if (strcmp(step, "restore") == 0) restore(&state);
  else if (strcmp(step, "write") == 0) write_files(&state, folder);
  else if (strcmp(step, "look") == 0) look_at_files(&state, folder);
  else check(strcmp(step, "read") == 0, step);
  if (strcmp(step, "read") == 0) {
    for (int time = 0; time < 2; time += 1) read_files(&state, folder);
    copy_often(&state);
  }
  return 0;
}
