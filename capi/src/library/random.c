#include "random.h"

#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

bool wmbt_random_bytes(void *bytes, size_t length, struct wmbt_failure *failure) {
  if (getentropy(bytes, length) == 0) return true;
  return wmbt_fail(failure, wmbt_unavailable, "the system gives no random bytes");
}
