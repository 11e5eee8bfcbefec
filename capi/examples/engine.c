/*
 * A conversation as a real engine would serve it: each turn restores what any process has computed before, computes the
 * rest, answers, and saves. engine.cpp is the same in C++, and restores what this one saved.
 *
 *     cc -pthread engine.c $(pkg-config --cflags --libs wombatkv) -o engine
 *     ./engine; ./engine                                  (the second one computes next to nothing)
 *
 * The model is a toy: a token is a byte, and its state a row of 64 bytes that follows from the token and the row before
 * it, so that a wrong row spoils all that follow. Everything around it is as it has to be.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wombatkv.h>

enum { block_tokens = 128, row_bytes = 64, tokens_max = 4096, blocks_max = tokens_max / block_tokens };

static const char seed_input[] = "WMBTBLK1|example-toy-1|b128";
static const char space[] = "example";

struct engine {
  wmbt_kv_handle_t *kv;
  int32_t tokens[tokens_max];
  size_t token_count;
  /* The state: rows of the first so many tokens. */
  char rows[tokens_max][row_bytes + 1];
  size_t row_count;
  /* Tokens from here on were decoded one by one. */
  size_t prefilled;
  char seed[65], hashes[blocks_max][65];
  const char *chain[blocks_max];
};

static void say(const char *what) {
  const char *why = wmbt_kv_last_error();
  fprintf(stderr, "%s: %s\n", what, why == NULL ? "nothing to say" : why);
}

/* ------ The model ------ */

static void tokenise(struct engine *engine, const char *text) {
  for (; *text != '\0' && engine->token_count < tokens_max; text += 1) {
    engine->tokens[engine->token_count++] = (unsigned char)*text;
  }
}

/* One row: what costs an engine its time. */
static void compute(struct engine *engine) {
  uint8_t input[row_bytes + 1] = {0};
  const size_t at = engine->row_count;
  if (at > 0) memcpy(input, engine->rows[at - 1], row_bytes);
  input[row_bytes] = (uint8_t)engine->tokens[at];
  wmbt_kv_blake3_64hex(input, sizeof input, engine->rows[at]);
  engine->row_count += 1;
}

static void prefill(struct engine *engine) {
  while (engine->row_count < engine->token_count) compute(engine);
  engine->prefilled = engine->token_count;
}

/* Each token of the answer follows from the last row. */
static void decode(struct engine *engine, size_t count) {
  for (; count > 0 && engine->token_count < tokens_max; count -= 1) {
    engine->tokens[engine->token_count++] = engine->rows[engine->row_count - 1][0];
    compute(engine);
  }
}

/* ------ The state as bytes: of `count` tokens from `first` on ------ */

static void write_state(const struct engine *engine, size_t first, size_t count, FILE *file) {
  const uint32_t head[2] = {(uint32_t)first, (uint32_t)count};
  fwrite(head, sizeof head, 1, file);
  for (size_t i = first; i < first + count; i += 1) fwrite(engine->rows[i], row_bytes, 1, file);
}

/* Continues the state with bytes on loan, where they lie; 0 when they do not fit. */
static int read_state(struct engine *engine, const wmbt_kv_payload_t *payload) {
  /* It only reads, but its type does not say so. */
  FILE *file = fmemopen((void *)(uintptr_t)payload->bytes, payload->length, "rb");
  if (file == NULL) return 0;
  uint32_t head[2] = {0, 0};
  size_t read = 0;
  const int fits = fread(head, sizeof head, 1, file) == 1 && head[0] == engine->row_count &&
                   head[1] <= tokens_max - engine->row_count;
  while (fits && read < head[1] && fread(engine->rows[engine->row_count + read], row_bytes, 1, file) == 1) read += 1;
  fclose(file);
  if (!fits || read < head[1]) return 0;
  engine->row_count += read;
  return 1;
}

/* ------ The chain of hashes ------ */

/* Hashes of all whole blocks; gives how many there are. */
static size_t hash_chain(struct engine *engine) {
  const size_t count = engine->token_count / block_tokens;
  const char *tip = engine->seed;
  for (size_t block = 0; block < count; block += 1) {
    uint8_t input[64 + 4 * block_tokens];
    memcpy(input, tip, 64);
    for (size_t i = 0; i < block_tokens; i += 1) {
      const uint32_t token = (uint32_t)engine->tokens[block * block_tokens + i];
      for (size_t byte = 0; byte < 4; byte += 1) input[64 + 4 * i + byte] = (uint8_t)(token >> (8 * byte));
    }
    wmbt_kv_blake3_64hex(input, sizeof input, engine->hashes[block]);
    engine->chain[block] = tip = engine->hashes[block];
  }
  return count;
}

/* ------ Restore ------ */

/* The tail, fetched by a thread of its own while the blocks come. */
struct tail {
  const struct engine *engine;
  size_t blocks;
  const wmbt_kv_payload_t *payload;
  wmbt_kv_borrow_t *borrow;
};

static void *fetch_tail(void *argument) {
  struct tail *tail = argument;
  const struct engine *engine = tail->engine;
  const size_t first = tail->blocks * block_tokens;
  const size_t count = engine->token_count - first;
  const char *tip = tail->blocks == 0 ? engine->seed : engine->chain[tail->blocks - 1];
  const int32_t rc = wmbt_kv_load_tail(engine->kv, space, tip, engine->tokens + first, count, NULL, &tail->payload,
                                       &tail->borrow);
  if (rc < 0) say("tail");
  return NULL;
}

/* As much of the state as is stored. Any failure is a shorter prefix. */
static void restore(struct engine *engine) {
  size_t matched = 0, count = 0;
  const size_t blocks = hash_chain(engine);
  engine->row_count = 0;
  if (wmbt_kv_lookup(engine->kv, space, engine->chain, blocks, NULL, &matched) != 0) say("lookup");
  struct tail tail = {engine, matched, NULL, NULL};
  pthread_t thread;
  const int has_thread = pthread_create(&thread, NULL, fetch_tail, &tail) == 0;
  const wmbt_kv_payload_t *payloads = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  if (wmbt_kv_load(engine->kv, space, engine->chain, matched, NULL, &payloads, &count, &borrow) < 0) say("load");
  for (size_t i = 0; i < count && read_state(engine, &payloads[i]); i += 1) continue;
  wmbt_kv_release_borrow(borrow);
  if (has_thread) pthread_join(thread, NULL);
  /* It continues the last block, or nothing. */
  if (tail.borrow != NULL && engine->row_count == matched * block_tokens) (void)read_state(engine, tail.payload);
  wmbt_kv_release_borrow(tail.borrow);
  /* What comes out of the model is not stored: the last token is computed in any case. */
  if (engine->row_count == engine->token_count) engine->row_count -= 1;
}

/* ------ Save ------ */

/* Bytes that an engine serialises: what is stored already is not. */
struct serialised {
  char *bytes;
  size_t length;
};

static int serialise(const struct engine *engine, size_t first, size_t count, struct serialised *out) {
  FILE *file = open_memstream(&out->bytes, &out->length);
  if (file == NULL) return 0;
  write_state(engine, first, count, file);
  return fclose(file) == 0;
}

static uint32_t flags_of(const struct engine *engine, size_t end) {
  return end > engine->prefilled ? WMBT_KV_DECODED : 0;
}

static void save_blocks(const struct engine *engine, size_t count) {
  uint8_t present[blocks_max] = {0};
  wmbt_kv_block_t blocks[blocks_max];
  struct serialised written[blocks_max] = {{NULL, 0}};
  size_t first = 0, taken = 0;
  if (wmbt_kv_contains(engine->kv, space, engine->chain, count, NULL, present) != 0) say("contains");
  while (first < count && present[first] == 1) first += 1;
  for (size_t i = first; i < count; i += 1, taken += 1) {
    if (!serialise(engine, i * block_tokens, block_tokens, &written[taken])) break;
    blocks[taken] = (wmbt_kv_block_t){engine->chain[i],
                                      (const uint8_t *)written[taken].bytes,
                                      written[taken].length,
                                      block_tokens,
                                      (uint32_t)(i * block_tokens),
                                      flags_of(engine, (i + 1) * block_tokens),
                                      0};
  }
  wmbt_kv_call_t call = WMBT_KV_CALL_INIT;
  call.parent = first == 0 ? NULL : engine->chain[first - 1];
  if (wmbt_kv_save(engine->kv, space, blocks, taken, &call, NULL) != 0) say("save");
  for (size_t i = 0; i < taken; i += 1) free(written[i].bytes);
}

static void save(struct engine *engine) {
  const size_t count = hash_chain(engine), first = count * block_tokens, rest = engine->token_count - first;
  save_blocks(engine, count);
  struct serialised written = {NULL, 0};
  if (rest == 0 || !serialise(engine, first, rest, &written)) return;
  const wmbt_kv_tail_t tail = {count == 0 ? engine->seed : engine->chain[count - 1],
                               engine->tokens + first,
                               rest,
                               (const uint8_t *)written.bytes,
                               written.length,
                               (uint32_t)first,
                               flags_of(engine, engine->token_count)};
  if (wmbt_kv_save_tail(engine->kv, space, &tail, NULL, NULL) != 0) say("save the tail");
  free(written.bytes);
}

/* ------ The conversation ------ */

static const char *const questions[] = {
    "System: you answer briefly, and you say when you do not know. You know the whole of the manual below, and nothing "
    "else. Chapter one: compute once. Chapter two: reuse everywhere. Chapter three: never wrong bytes. Chapter four: "
    "never lost, never slower, never someone else's. User: what is in chapter two?",
    " User: and in chapter three? Quote it, and tell me how you would find out that it is true on this machine.",
    " User: thank you. Sum up what we have said.",
};

int main(void) {
  struct engine *engine = calloc(1, sizeof *engine);
  if (engine == NULL) return 1;
  engine->kv = wmbt_kv_init_from_env();
  if (engine->kv == NULL) {
    say("cannot open");
    free(engine);
    return 1;
  }
  wmbt_kv_blake3_64hex((const uint8_t *)seed_input, sizeof seed_input - 1, engine->seed);
  for (size_t turn = 0; turn < sizeof questions / sizeof questions[0]; turn += 1) {
    tokenise(engine, questions[turn]);
    restore(engine);
    const size_t restored = engine->row_count;
    prefill(engine);
    /* For whoever asks the same, and for who goes on with the answer. */
    save(engine);
    decode(engine, 50);
    save(engine);
    printf("turn %zu: %zu tokens restored, %zu computed, state %.16s\n", turn + 1, restored,
           engine->prefilled - restored, engine->rows[engine->row_count - 1]);
  }
  wmbt_kv_free(engine->kv);
  free(engine);
  return 0;
}
