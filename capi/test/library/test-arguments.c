/*
 * What every function answers to wrong arguments: return code, message, untouched results. A function's checks are
 * steps in a fixed order; each step is tried alone, and together with a fault of every later step, whose message must
 * not win.
 */
#include <string.h>

#include "check.h"

enum function { fn_lookup, fn_get, fn_put, fn_put_tail, fn_get_tail };

enum fault {
  no_fault,
  no_out,
  no_second_out,
  no_third_out,
  no_handle,
  no_ns,
  text_ns,
  long_ns,
  no_hashes,
  no_hash,
  text_hash,
  short_hash,
  long_hash,
  digit_hash,
  no_payloads,
  no_lens,
  no_payload,
  huge_payload,
  no_tip,
  text_tip,
  no_data,
  short_tip,
  long_tip,
  digit_tip,
};

enum { alternatives_max = 6, steps_max = 8, batch_count = 3 };

struct alternative {
  enum fault fault;
  const char *message;
};

static const struct {
  enum function function;
  const char *name;
  struct alternative steps[steps_max][alternatives_max];
} functions[] = {
    {fn_lookup,
     "lookup_block_prefix",
     {{{no_out, "out_matched_count is NULL"}},
      {{no_handle, "handle is NULL"}},
      {{no_ns, "string pointer is NULL"}, {text_ns, "string contained non-UTF-8 bytes"}, {long_ns, "1 to 80 bytes"}},
      {{no_hashes, "block_hashes_hex is NULL with block_count > 0"},
       {no_hash, "block_hashes_hex[1] is NULL"},
       {text_hash, "block_hashes_hex[1] not UTF-8"},
       {short_hash, "block hash hex must be 64 chars; got 3 for \"abc\""},
       {long_hash, "64 chars; got 65"},
       {digit_hash, "bad hex char at pos 5 in \""}}}},
    {fn_get,
     "get_kv_blocks_borrowed",
     {{{no_out, "out_payload_ptrs / out_payload_lens / out_borrow must not be NULL"},
       {no_second_out, "out_payload_ptrs / out_payload_lens / out_borrow must not be NULL"},
       {no_third_out, "out_payload_ptrs / out_payload_lens / out_borrow must not be NULL"}},
      {{no_handle, "handle is NULL"}},
      {{no_ns, "string pointer is NULL"}, {text_ns, "string contained non-UTF-8 bytes"}},
      {{no_hashes, "block_hashes_hex is NULL with block_count > 0"}, {short_hash, "64 chars"}}}},
    {fn_put,
     "put_kv_blocks",
     {{{no_handle, "handle is NULL"}},
      {{no_ns, "string pointer is NULL"}, {text_ns, "string contained non-UTF-8 bytes"}},
      {{no_hashes, "block_hashes_hex is NULL with block_count > 0"}, {digit_hash, "bad hex char at pos 5"}},
      {{no_payloads, "payloads / lens must not be NULL with block_count > 0"},
       {no_lens, "payloads / lens must not be NULL with block_count > 0"},
       {no_payload, "payloads[1] is NULL with len > 0"},
       {huge_payload, "payloads[1] has 1073741825 bytes; at most 1073741824"}}}},
    {fn_put_tail,
     "put_raw_tail",
     {{{no_handle, "handle is NULL"}},
      {{no_ns, "string pointer is NULL"}, {text_ns, "string contained non-UTF-8 bytes"}},
      {{no_tip, "string pointer is NULL"}, {text_tip, "string contained non-UTF-8 bytes"}},
      {{no_data, "data pointer is NULL with non-zero len"}},
      {{short_tip, "put_raw_tail: chain_tip_hash_hex must be 64 chars; got 3"},
       {long_tip, "64 chars; got 65"},
       {digit_tip, "bad hex char at pos 5"}}}},
    {fn_get_tail,
     "get_raw_tail_borrowed",
     {{{no_out, "out_bytes / out_len / out_borrow must not be NULL"},
       {no_second_out, "out_bytes / out_len / out_borrow must not be NULL"},
       {no_third_out, "out_bytes / out_len / out_borrow must not be NULL"}},
      {{no_handle, "handle is NULL"}},
      {{no_ns, "string pointer is NULL"}, {text_ns, "string contained non-UTF-8 bytes"}},
      {{no_tip, "string pointer is NULL"}, {text_tip, "string contained non-UTF-8 bytes"}},
      {{short_tip, "get_raw_tail: chain_tip_hash_hex must be 64 chars; got 3"}, {digit_tip, "bad hex char at pos 5"}}}},
};

/* All that the functions take. Results are marked, to see whether they are touched. */
struct arguments {
  wmbt_kv_handle_t *handle;
  const char *ns, *tip;
  const char *const *hashes;
  const char *list[batch_count];
  const uint8_t *const *payloads;
  const uint8_t *memory[batch_count], *data;
  const size_t *lens;
  size_t lengths[batch_count], n, matched, out_len;
  const uint8_t *out_bytes, **out_ptrs;
  const size_t *out_lens;
  wmbt_kv_borrow_t *borrow;
  bool has_out[3];
  char err[512];
};

static char digits[batch_count][65], too_long[66], with_sign[65];
static char ns_of_81[82];
static const uint8_t some_bytes[4] = {1, 2, 3, 4};
static const char not_text[] = {'a', (char)0xff, 'b', 0};

static void prepare(struct arguments *a, wmbt_kv_handle_t *handle) {
  *a = (struct arguments){.handle = handle, .ns = "arguments", .n = batch_count, .data = some_bytes};
  for (size_t i = 0; i < batch_count; i += 1) {
    hash_of("arguments", i, digits[i]);
    a->list[i] = digits[i];
    a->memory[i] = some_bytes;
    a->lengths[i] = sizeof some_bytes;
  }
  a->hashes = a->list;
  a->payloads = a->memory;
  a->lens = a->lengths;
  a->tip = digits[0];
  a->has_out[0] = a->has_out[1] = a->has_out[2] = true;
  a->matched = a->out_len = 77;
  (void)memset(too_long, 'a', 65);
  (void)memcpy(with_sign, digits[1], 65);
  with_sign[5] = 'g';
  (void)memset(ns_of_81, 'n', 81);
}

static void spoil(struct arguments *a, enum fault fault) {
  switch (fault) {
    case no_fault: return;
    case no_out: a->has_out[0] = false; return;
    case no_second_out: a->has_out[1] = false; return;
    case no_third_out: a->has_out[2] = false; return;
    case no_handle: a->handle = NULL; return;
    case no_ns: a->ns = NULL; return;
    case text_ns: a->ns = not_text; return;
    case long_ns: a->ns = ns_of_81; return;
    case no_hashes: a->hashes = NULL; return;
    case no_hash: a->list[1] = NULL; return;
    case text_hash: a->list[1] = not_text; return;
    case short_hash: a->list[1] = "abc"; return;
    case long_hash: a->list[1] = too_long; return;
    case digit_hash: a->list[1] = with_sign; return;
    case no_payloads: a->payloads = NULL; return;
    case no_lens: a->lens = NULL; return;
    case no_payload: a->memory[1] = NULL; return;
    case huge_payload: a->lengths[1] = (size_t)1073741825; return;
    case no_tip: a->tip = NULL; return;
    case text_tip: a->tip = not_text; return;
    case no_data: a->data = NULL; return;
    case short_tip: a->tip = "abc"; return;
    case long_tip: a->tip = too_long; return;
    case digit_tip: a->tip = with_sign; return;
  }
}

static int64_t call(enum function function, struct arguments *a, size_t err_len) {
  char *err = err_len == 0 ? NULL : a->err;
  wmbt_kv_borrow_t **borrow = a->has_out[2] ? &a->borrow : NULL;
  switch (function) {
    case fn_lookup:
      return wmbt_kv_lookup_block_prefix(a->handle, a->ns, a->hashes, a->n, a->has_out[0] ? &a->matched : NULL, err,
                                         err_len);
    case fn_get:
      return wmbt_kv_get_kv_blocks_borrowed(a->handle, a->ns, a->hashes, a->n, a->has_out[0] ? &a->out_ptrs : NULL,
                                            a->has_out[1] ? &a->out_lens : NULL, borrow);
    case fn_put: return wmbt_kv_put_kv_blocks(a->handle, a->ns, a->hashes, a->payloads, a->lens, a->n);
    case fn_put_tail: return wmbt_kv_put_raw_tail(a->handle, a->ns, a->tip, a->data, 4, err, err_len);
    case fn_get_tail:
      return wmbt_kv_get_raw_tail_borrowed(a->handle, a->ns, a->tip, a->has_out[0] ? &a->out_bytes : NULL,
                                           a->has_out[1] ? &a->out_len : NULL, borrow, err, err_len);
  }
  return -2;
}

static void check_refused(enum function function, struct arguments *a, const char *message, const char *name) {
  const bool has_text = function != fn_get && function != fn_put;
  const int64_t rc = call(function, a, sizeof a->err);
  CHECK(rc == -1, "%s gives %lld for: %s", name, (long long)rc, message);
  check_text(wmbt_kv_last_error(), message, name);
  if (has_text) check_text(a->err, message, name);
  const bool is_untouched = a->matched == 77 && a->out_len == 77 && a->out_ptrs == NULL && a->out_lens == NULL &&
                            a->out_bytes == NULL && a->borrow == NULL;
  CHECK(is_untouched, "%s touched a result: %s", name, message);
}

static void each_check_alone_and_before_all_later_ones(void) {
  wmbt_kv_handle_t *handle = open_handle();
  unsigned tried = 0;
  for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f += 1) {
    for (size_t step = 0; step < steps_max; step += 1) {
      for (size_t i = 0; i < alternatives_max && functions[f].steps[step][i].message != NULL; i += 1) {
        const struct alternative *wrong = &functions[f].steps[step][i];
        struct arguments arguments;
        prepare(&arguments, handle);
        spoil(&arguments, wrong->fault);
        check_refused(functions[f].function, &arguments, wrong->message, functions[f].name);
        prepare(&arguments, handle);
        for (size_t later = steps_max - 1; later > step; later -= 1) {
          spoil(&arguments, functions[f].steps[later][0].fault);
        }
        spoil(&arguments, wrong->fault);
        check_refused(functions[f].function, &arguments, wrong->message, functions[f].name);
        tried += 2;
      }
    }
  }
  CHECK(tried == 94, "%u calls were tried", tried);
  wmbt_kv_free(handle);
}

static void empty_batches_need_no_arrays(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct arguments a;
  prepare(&a, handle);
  a.n = 0;
  a.hashes = NULL;
  a.payloads = NULL;
  a.lens = NULL;
  CHECK(call(fn_lookup, &a, 0) == 0 && a.matched == 0, "an empty lookup matches %zu", a.matched);
  CHECK(call(fn_put, &a, 0) == 0, "an empty put does not give 0");
  CHECK(call(fn_get, &a, 0) == 1 && a.borrow != NULL, "an empty get gives no borrow");
  wmbt_kv_release_borrow(a.borrow);
  wmbt_kv_free(handle);
}

static void messages_are_cut_to_the_buffer(void) {
  struct arguments a;
  prepare(&a, NULL);
  for (size_t size = 0; size < 20; size += 1) {
    (void)memset(a.err, '#', sizeof a.err);
    CHECK(call(fn_lookup, &a, size) == -1, "a lookup without a handle succeeds");
    const char *whole = "handle is NULL";
    const size_t length = size == 0 ? 0 : size - 1 < strlen(whole) ? size - 1 : strlen(whole);
    if (size > 0) CHECK(strlen(a.err) == length && strncmp(a.err, whole, length) == 0, "%zu: %s", size, a.err);
    CHECK(a.err[size == 0 ? 0 : length + 1] == '#', "a byte behind the text of %zu was written", size);
    CHECK(strcmp(wmbt_kv_last_error(), whole) == 0, "the last error is cut too");
  }
  CHECK(wmbt_kv_lookup_block_prefix(NULL, "", NULL, 0, &a.matched, a.err, 0) == -1, "without a handle");
}

static void the_last_error_lasts_as_it_should(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct arguments a;
  prepare(&a, NULL);
  (void)call(fn_put, &a, 0);
  char hex[65];
  (void)wmbt_kv_abi_version();
  (void)wmbt_kv_blake3_64hex(some_bytes, 4, hex);
  (void)wmbt_kv_crc32c(some_bytes, 4);
  wmbt_kv_free(NULL);
  wmbt_kv_release_borrow(NULL);
  check_text(wmbt_kv_last_error(), "handle is NULL", "after calls that leave it alone");
  prepare(&a, handle);
  CHECK(call(fn_lookup, &a, sizeof a.err) == 0 && wmbt_kv_last_error() == NULL, "a success does not clear it");
  CHECK(a.err[0] == '\0', "a success writes to err_buf");
  prepare(&a, handle);
  a.handle = NULL;
  (void)call(fn_put, &a, 0);
  a.handle = handle;
  CHECK(call(fn_get, &a, 0) == 0 && wmbt_kv_last_error() == NULL, "a miss does not clear it");
  wmbt_kv_free(handle);
}

static void hashes_and_checksums(void) {
  static const struct {
    size_t length;
    const char *digest;
  } known[] = {
      {0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
      {1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
      {1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
      {2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"},
      {102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"},
  };
  static uint8_t bytes[102400];
  for (size_t i = 0; i < sizeof bytes; i += 1) bytes[i] = (uint8_t)(i % 251);
  char hex[66];
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i += 1) {
    hex[65] = '#';
    CHECK(wmbt_kv_blake3_64hex(bytes, known[i].length, hex) == 0 && strcmp(hex, known[i].digest) == 0,
          "BLAKE3 of %zu bytes is %s", known[i].length, hex);
    CHECK(hex[65] == '#', "a byte behind the digest was written");
  }
  CHECK(wmbt_kv_blake3_64hex(NULL, 0, hex) == -1 && wmbt_kv_blake3_64hex(bytes, 0, NULL) == -1, "NULL is taken");
  const uint8_t *nine = (const uint8_t *)"123456789";
  CHECK(wmbt_kv_crc32c(nine, 9) == 0xE3069283u, "CRC32C is %08x", (unsigned)wmbt_kv_crc32c(nine, 9));
  CHECK(wmbt_kv_crc32c(NULL, 9) == 0 && wmbt_kv_crc32c(nine, 0) == 0, "CRC32C of nothing is not 0");
  for (size_t cut = 0; cut <= 9; cut += 1) {
    const uint32_t first = wmbt_kv_crc32c_append(0, nine, cut);
    CHECK(wmbt_kv_crc32c_append(first, nine + cut, 9 - cut) == 0xE3069283u, "cut at %zu", cut);
  }
  CHECK(wmbt_kv_crc32c_append(7, NULL, 9) == 7 && wmbt_kv_crc32c_append(7, nine, 0) == 7, "nothing changes a CRC");
  CHECK(wmbt_kv_abi_version() == WMBT_KV_ABI_VERSION && WMBT_KV_ABI_VERSION == 0x00010001u, "the version is another");
}

const struct test_case argument_tests[] = {
    {"each check has its message, alone and when all later ones fail too", each_check_alone_and_before_all_later_ones},
    {"empty batches need no arrays", empty_batches_need_no_arrays},
    {"messages are cut to the buffer and end with NUL", messages_are_cut_to_the_buffer},
    {"the last error lasts until the next call that takes a handle", the_last_error_lasts_as_it_should},
    {"hashes, checksums and the version are the known ones", hashes_and_checksums},
    {NULL, NULL},
};
