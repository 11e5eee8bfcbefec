/* What a caller holds. */
#ifndef WMBT_HANDLE_H
#define WMBT_HANDLE_H

#include "bounds.h"
#include "mode.h"

/* Nothing in it changes after it was opened. */
struct wmbt_kv_handle {
  struct wmbt_mode *mode;
  /* The namespace of calls that name none. */
  char ns[WMBT_NAMESPACE_BYTES_MAX + 1];
};

#endif
