/*
 * CRC32C by folding: four accumulators of one vector each are multiplied past the next four vectors and added
 * to them, which keeps the remainder by the polynomial. At the end the accumulators are folded into one, whose
 * bytes the crc32 instruction takes as if they were the message.
 *
 * A kernel includes this file once, after it has defined TARGET, VECTOR (a type), VECTOR_BYTES, LOAD, STREAM,
 * FIRST (a vector with a word in its lowest place), FACTORS (two words repeated), FOLD (one step, see below),
 * and the factors of a fold past four vectors and past one.
 */

enum {
  fold_unit = 4 * VECTOR_BYTES,
  cache_line = 64,
  /*
   * What is read so far ahead is on its way when it is needed. The processor does that by itself within a page of
   * 4 KiB only, and the multiplications leave it few loads to look at (docs/decisions/0064).
   */
  ahead_bytes = 2048,
};

/* Has the bytes brought that stand so far behind the unit; beyond the end of the input it does nothing. */
WMBT_TARGET(TARGET)
static inline void fetch_ahead(const uint8_t *unit) {
  for (size_t at = 0; at < fold_unit; at += cache_line) {
    _mm_prefetch((const char *)((uintptr_t)unit + ahead_bytes + at), _MM_HINT_T0);
  }
}

WMBT_TARGET(TARGET)
static inline uint32_t finish_fold(VECTOR a, VECTOR b, VECTOR c, VECTOR d) {
  const VECTOR past_one = FACTORS(past_one_vector);
  b = FOLD(a, past_one, b);
  c = FOLD(b, past_one, c);
  d = FOLD(c, past_one, d);
  uint64_t words[VECTOR_BYTES / 8];
  memcpy(words, &d, sizeof words);
  uint64_t state = 0;
  for (size_t i = 0; i < VECTOR_BYTES / 8; i += 1) state = _mm_crc32_u64(state, words[i]);
  return (uint32_t)state;
}

WMBT_TARGET(TARGET)
static uint32_t append(uint32_t state, const uint8_t *in, size_t length) {
  if (length < 2 * fold_unit) return wmbt_crc32c_sse42.append(state, in, length);
  const VECTOR past_four = FACTORS(past_four_vectors);
  VECTOR a = XOR(LOAD(in), FIRST(state)), b = LOAD(in + VECTOR_BYTES);
  VECTOR c = LOAD(in + 2 * VECTOR_BYTES), d = LOAD(in + 3 * VECTOR_BYTES);
  in += fold_unit;
  length -= fold_unit;
  for (; length >= fold_unit; in += fold_unit, length -= fold_unit) {
    fetch_ahead(in);
    a = FOLD(a, past_four, LOAD(in));
    b = FOLD(b, past_four, LOAD(in + VECTOR_BYTES));
    c = FOLD(c, past_four, LOAD(in + 2 * VECTOR_BYTES));
    d = FOLD(d, past_four, LOAD(in + 3 * VECTOR_BYTES));
  }
  return wmbt_crc32c_sse42.append(finish_fold(a, b, c, d), in, length);
}

WMBT_TARGET(TARGET)
static uint32_t stream(uint32_t state, uint8_t *to, const uint8_t *from, size_t length) {
  if (length == 0) return state;
  const VECTOR past_four = FACTORS(past_four_vectors);
  VECTOR a = XOR(LOAD(from), FIRST(state)), b = LOAD(from + VECTOR_BYTES);
  VECTOR c = LOAD(from + 2 * VECTOR_BYTES), d = LOAD(from + 3 * VECTOR_BYTES);
  STREAM(to, LOAD(from));
  STREAM(to + VECTOR_BYTES, b);
  STREAM(to + 2 * VECTOR_BYTES, c);
  STREAM(to + 3 * VECTOR_BYTES, d);
  for (size_t at = fold_unit; at < length; at += fold_unit) {
    fetch_ahead(from + at);
    const VECTOR e = LOAD(from + at), f = LOAD(from + at + VECTOR_BYTES);
    const VECTOR g = LOAD(from + at + 2 * VECTOR_BYTES), h = LOAD(from + at + 3 * VECTOR_BYTES);
    STREAM(to + at, e);
    STREAM(to + at + VECTOR_BYTES, f);
    STREAM(to + at + 2 * VECTOR_BYTES, g);
    STREAM(to + at + 3 * VECTOR_BYTES, h);
    a = FOLD(a, past_four, e);
    b = FOLD(b, past_four, f);
    c = FOLD(c, past_four, g);
    d = FOLD(d, past_four, h);
  }
  _mm_sfence();
  return finish_fold(a, b, c, d);
}
