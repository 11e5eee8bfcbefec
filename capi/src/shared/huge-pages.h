/*
 * Whether huge pages are worth having just now. They come out of the system's longest pieces of free memory. In a
 * virtual machine those may be memory that its host has taken back, and has to find again while they are zeroed: 4 to
 * 10 ms for one, where 0.1 ms is usual, and where short pages, of which there are some that were used lately, take less
 * than 1 (docs/decisions/0118). So what one takes is looked at, and where that is much none is asked for during a
 * while.
 */
#ifndef WMBT_HUGE_PAGES_H
#define WMBT_HUGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  /* Bytes of a huge page. Where they have another length the system refuses these, and all is as without them. */
  wmbt_huge_bytes = 2 * 1024 * 1024,
  /* Processor time of one from which on it is dear, and how long none is asked for then. */
  wmbt_huge_dear_us = 1000,
  wmbt_huge_rest_ms = 1000,
};

/* False for a while behind one that was dear, whoever in this process met it. Any thread, as all of these. */
bool wmbt_huge_are_cheap(void);

/* Processor time of the calling thread, in nanoseconds; to be handed to the next. */
int64_t wmbt_huge_begin(void);

/* The thread has made so many of them since. */
void wmbt_huge_end(int64_t begin_ns, size_t pages);

/* What that comes to: they took so long. */
void wmbt_huge_note(int64_t taken_ns, size_t pages);

#endif
