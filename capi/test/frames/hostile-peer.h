/* Peers that speak from a script and spoil it, or are silent, and calls of the library on them. */
#ifndef WMBT_TEST_HOSTILE_PEER_H
#define WMBT_TEST_HOSTILE_PEER_H

#include <stdbool.h>
#include <stdint.h>

void calls_on_spoiled_answers(void);
void saves_of_many_keys(void);
void silent_first_address(void);

/* Of the program. */
bool expect_of_calls(bool holds, const char *what);

#endif
