/* What the tests of the parsers share. */
#ifndef WMBT_TEST_FRAMES_TEST_H
#define WMBT_TEST_FRAMES_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { golden_max = 4096 };

/* Of the seed of the program, another one for each test. */
uint64_t next_random(void);

/* Notes a failure of the test under way. */
void expect(bool holds, const char *what);

/* The bytes of a golden file, by its name below the directory of the program, without `.bin`. */
size_t read_golden(const char *name, uint8_t bytes[golden_max]);

#endif
