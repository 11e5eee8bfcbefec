/* Payloads, with the arrays by which a caller sees them. Owned by whoever holds it. */
#ifndef WMBT_BORROW_H
#define WMBT_BORROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../include/wombatkv.h"
#include "payload-memory.h"

/* Payloads that lie in memory of somebody else, who is told when they are not needed any more. */
struct wmbt_loan {
  void (*give_back)(struct wmbt_loan *loan);
  /* Of a borrow that was lent payloads more than once; NULL: no other. */
  struct wmbt_loan *next;
};

struct wmbt_borrow {
  size_t count;
  /* Those before this one have their memory. */
  size_t filled;
  /* Those before this one are lent; the others have memory of their own. */
  size_t lent;
  /* Those before this one were lent without a call: the store knows nothing of it. */
  size_t untold;
  /* The last one; NULL: none. */
  struct wmbt_loan *loan;
  /* Where those that are not lent lie, the newest first; NULL: nowhere. */
  struct wmbt_region *regions;
  /* Behind the borrow, in its own memory. */
  const uint8_t **payloads;
  size_t *lengths;
  /* As callers of ABI 1.1 see payloads: what is known of those that are filled, besides bytes and length, which are
   * set when the caller gets it. NULL for the others. */
  wmbt_kv_payload_t *shown;
};

/* Room for so many payloads, and for showing them when that is asked for; NULL without memory. */
struct wmbt_borrow *wmbt_borrow_new(size_t count, bool is_shown);

/* How a payload is shown, but for its bytes and length; nothing where that is not asked for. */
void wmbt_borrow_note(struct wmbt_borrow *borrow, size_t index, const wmbt_kv_payload_t *known);

/* Memory for the next payload, to be written until the borrow is the caller's; NULL without memory. */
uint8_t *wmbt_borrow_add(struct wmbt_borrow *borrow, size_t length);

/* Takes back the last payload, which did not come whole. */
void wmbt_borrow_drop_last(struct wmbt_borrow *borrow);

/* NULL is ignored. */
void wmbt_borrow_free(struct wmbt_borrow *borrow);

#endif
