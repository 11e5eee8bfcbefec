/*
 * Memory that payloads of a borrow come into. What was released is kept for the next load, because the first touch of
 * fresh memory costs more than all that is done with it: docs/decisions/0116.
 */
#ifndef WMBT_PAYLOAD_MEMORY_H
#define WMBT_PAYLOAD_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Payloads one behind the other. Owned by a borrow. */
struct wmbt_region {
  uint8_t *memory;
  /* Of its memory, and of that what payloads have; up to where it was looked at what pages it is to have. */
  size_t bytes, used, ready;
  /* The next one of the same borrow. */
  struct wmbt_region *next;
};

/* What a payload takes of a region. */
size_t wmbt_region_bytes_for(size_t length);

/* A region with room for so many bytes at least, with nothing in it; NULL without memory. Any thread. */
struct wmbt_region *wmbt_region_take(size_t bytes);

/* Memory for a payload; NULL when there is no room for it. */
uint8_t *wmbt_region_add(struct wmbt_region *region, size_t length);

/* Takes back the payload that was added last, once. */
void wmbt_region_drop_last(struct wmbt_region *region, const uint8_t *payload);

/* Its payloads are nobody's any more. Any thread. */
void wmbt_region_give(struct wmbt_region *region);

/* Handles come and go: behind the last one nothing is kept. */
void wmbt_payload_memory_enter(void);
void wmbt_payload_memory_leave(void);

/* Bytes that are kept. */
size_t wmbt_payload_memory_kept(void);

/* Frees what is kept when no load has come for long, as seen at that moment. */
void wmbt_payload_memory_rest(int64_t now_ms);

#endif
