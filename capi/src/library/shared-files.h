/* The files of a store's shared memory, as docs/FORMAT.md draws them. Whatever is wrong with one is no failure here. */
#ifndef WMBT_SHARED_FILES_H
#define WMBT_SHARED_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Opens a file of the directory, closed on exec: a regular one of this user that nobody else may write. -1 when it is
 * not that, or not there. `flags` are O_RDONLY or O_RDWR.
 */
int wmbt_shared_file(const char *directory, const char *name, int flags, size_t *length);

/* The whole file, shared with whoever maps it; NULL when that is not possible. */
void *wmbt_shared_map(int fd, size_t length, bool is_writable);

/* Maps such a file for reading and closes it; NULL when it is not as it should be. */
void *wmbt_shared_map_file(const char *directory, const char *name, size_t *length);

/* Locks a range for this open file, as long as any process has it open or mapped; false when another has it. */
bool wmbt_shared_lock(int fd, size_t start, size_t length);

/* Reads the path in a file of one line; false when it holds none, it does not fit, or the file is not there. */
bool wmbt_shared_announced(const char *announcement, char *path, size_t size);

#endif
