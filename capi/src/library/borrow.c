#include "borrow.h"

#include <stdlib.h>

#include "bounds.h"
#include "clock.h"

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

/* Memory for that payload, and for as many of its length as may follow, as far as they go in one region. */
static struct wmbt_region *next_region(const struct wmbt_borrow *borrow, size_t length) {
  const size_t each = wmbt_region_bytes_for(length);
  const size_t left = borrow->count - borrow->filled;
  const size_t most = WMBT_REGION_BYTES_MAX / each;
  const size_t together = left < most ? left : most;
  struct wmbt_region *region = wmbt_region_take(together == 0 ? each : together * each);
  /* What others of the batch need is asked for when they come. */
  return region == NULL && together > 1 ? wmbt_region_take(each) : region;
}

/* NULL without memory. */
static uint8_t *memory_for(struct wmbt_borrow *borrow, size_t length) {
  if (length == 0) return &nothing;
  uint8_t *memory = borrow->regions == NULL ? NULL : wmbt_region_add(borrow->regions, length);
  if (memory != NULL) return memory;
  struct wmbt_region *region = next_region(borrow, length);
  if (region == NULL) return NULL;
  region->next = borrow->regions;
  borrow->regions = region;
  return wmbt_region_add(region, length);
}

uint8_t *wmbt_borrow_add(struct wmbt_borrow *borrow, size_t length) {
  uint8_t *memory = memory_for(borrow, length);
  if (memory == NULL) return NULL;
  borrow->payloads[borrow->filled] = memory;
  borrow->lengths[borrow->filled] = length;
  borrow->filled += 1;
  return memory;
}

void wmbt_borrow_drop_last(struct wmbt_borrow *borrow) {
  borrow->filled -= 1;
  if (borrow->lengths[borrow->filled] > 0) wmbt_region_drop_last(borrow->regions, borrow->payloads[borrow->filled]);
}

void wmbt_borrow_free(struct wmbt_borrow *borrow) {
  if (borrow == NULL) return;
  while (borrow->regions != NULL) {
    struct wmbt_region *region = borrow->regions;
    borrow->regions = region->next;
    wmbt_region_give(region);
  }
  for (struct wmbt_loan *loan = borrow->loan, *next; loan != NULL; loan = next) {
    next = loan->next;
    loan->give_back(loan);
  }
  free(borrow);
  if (wmbt_payload_memory_kept() > 0) wmbt_payload_memory_rest(wmbt_now_ms());
}
