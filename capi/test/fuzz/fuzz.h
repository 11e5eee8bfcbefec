/*
 * What the fuzz targets share. Each file is one target, which libFuzzer calls with inputs that it makes up from seeds:
 * `npm run capi -- fuzz`. A target ends the process when something is wrong that no sanitizer sees.
 */
#ifndef WMBT_TEST_FUZZ_H
#define WMBT_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold, whatever the input. */
#define MUST(condition) ((condition) ? (void)0 : abort())

#endif
