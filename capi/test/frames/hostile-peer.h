/* A peer that speaks from a script and spoils it, and calls of the library on it. */
#ifndef WMBT_TEST_HOSTILE_PEER_H
#define WMBT_TEST_HOSTILE_PEER_H

#include <stdbool.h>
#include <stdint.h>

void calls_on_spoiled_answers(void);
void saves_of_many_keys(void);

/* Of the program. */
uint64_t next_random(void);
bool expect_of_calls(bool holds, const char *what);

#endif
