/* Random bytes from the system. */
#ifndef WMBT_RANDOM_H
#define WMBT_RANDOM_H

#include <stddef.h>

#include "failure.h"

bool wmbt_random_bytes(void *bytes, size_t length, struct wmbt_failure *failure);

#endif
