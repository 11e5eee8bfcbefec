/* Memory that can be refused: stands between the library's own files, which are compiled for it, and the system. */
#ifndef WMBT_TEST_REFUSING_H
#define WMBT_TEST_REFUSING_H

#include <stdbool.h>
#include <stddef.h>

/* The next request of that number is refused, counted from 1, and no other one. Any thread's. */
void refusing_begin(size_t number);
/* Refuses nothing any more; true when one was refused. */
bool refusing_end(void);

#endif
