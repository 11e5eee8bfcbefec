/*
 * Whether a store lives, as other processes see it without a call to the system: a robust mutex in the header of
 * the index, which a thread of the store locks for the life of the store. When the thread ends, however it does,
 * the system takes its number out of the mutex's word before it lets go of anything else of the process.
 */
#ifndef WMBT_SHARED_LIFE_H
#define WMBT_SHARED_LIFE_H

#include <stdbool.h>

struct wmbt_life;

/*
 * Shows in the file of an index that the calling thread lives. NULL with errno when it cannot be mapped; where the
 * system has no such mutex nothing is shown, and readers take the store for dead. The file is open for writing.
 */
struct wmbt_life *wmbt_life_begin(int index_file);

/* Shows no life any more. By the thread that began it, which frees it with this. */
void wmbt_life_end(struct wmbt_life *life);

#endif
