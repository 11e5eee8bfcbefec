/* Work that nobody waits for. */
#ifndef WMBT_THREAD_H
#define WMBT_THREAD_H

#include <stdbool.h>

/* Runs it in a detached thread that gets none of the engine's signals; false when there is no thread to be had. */
bool wmbt_start_thread(void *(*run)(void *), void *argument);

#endif
