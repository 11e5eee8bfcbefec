#include "borrow.h"

#include <stdlib.h>

/* Where empty payloads point: not NULL, because engines hand it on to functions that refuse NULL. */
static uint8_t nothing;

struct wmbt_borrow *wmbt_borrow_new(size_t count, bool is_shown) {
  struct wmbt_borrow *borrow;
  const size_t each = sizeof *borrow->payloads + sizeof *borrow->lengths + (is_shown ? sizeof *borrow->shown : 0);
  if (count > (SIZE_MAX - sizeof *borrow) / each) return NULL;
  /* With its arrays behind it: a small get costs little more than its allocations. */
  borrow = malloc(sizeof *borrow + count * each);
  if (borrow == NULL) return NULL;
  *borrow = (struct wmbt_borrow){.count = count, .payloads = (const uint8_t **)(void *)(borrow + 1)};
  borrow->lengths = (size_t *)(void *)(borrow->payloads + count);
  if (is_shown) borrow->shown = (wmbt_kv_payload_t *)(void *)(borrow->lengths + count);
  return borrow;
}

void wmbt_borrow_note(struct wmbt_borrow *borrow, size_t index, const wmbt_kv_payload_t *known) {
  if (borrow->shown != NULL) borrow->shown[index] = *known;
}

uint8_t *wmbt_borrow_add(struct wmbt_borrow *borrow, size_t length) {
  uint8_t *memory = length == 0 ? &nothing : malloc(length);
  if (memory == NULL) return NULL;
  borrow->payloads[borrow->filled] = memory;
  borrow->lengths[borrow->filled] = length;
  borrow->filled += 1;
  return memory;
}

static void free_payload(struct wmbt_borrow *borrow, size_t index) {
  /* The array is the caller's view, in which payloads are constant; the memory behind it is ours. */
  union {
    const uint8_t *seen;
    void *owned;
  } const payload = {borrow->payloads[index]};
  if (borrow->lengths[index] > 0) free(payload.owned);
}

void wmbt_borrow_drop_last(struct wmbt_borrow *borrow) {
  borrow->filled -= 1;
  free_payload(borrow, borrow->filled);
}

void wmbt_borrow_free(struct wmbt_borrow *borrow) {
  if (borrow == NULL) return;
  for (size_t i = borrow->lent; i < borrow->filled; i += 1) free_payload(borrow, i);
  if (borrow->loan != NULL) borrow->loan->give_back(borrow->loan);
  free(borrow);
}
