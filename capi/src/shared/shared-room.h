/*
 * Memory of files that several processes map, and where they are mapped. A page of 4 KiB that a process meets for the
 * first time costs it a fault, and 40 MiB are ten thousand of them; of huge pages they are twenty
 * (docs/decisions/0110).
 */
#ifndef WMBT_SHARED_ROOM_H
#define WMBT_SHARED_ROOM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "huge-pages.h"

/*
 * Gives the range of a file memory of its own, so that writing to it cannot fail: zeros where nothing was written. What
 * of it begins and ends at multiples of a huge page's length is huge pages where the system has them to give. 0, or the
 * error, of which ENOSPC and ENOMEM say that there is too little memory: some of the range may have it then.
 *
 * Takes as long as the memory takes to be zeroed. Huge pages are asked for while they are cheap; the rest is short
 * ones.
 */
int wmbt_room_reserve(int fd, off_t start, off_t length);

/*
 * Has the mapping, which may be written, meet every page of a range that was reserved, so that whoever writes there
 * later meets none. Nobody writes there meanwhile, and what is there stays. Short pages are zeroed only now.
 */
void wmbt_room_meet(uint8_t *memory, size_t length);

/*
 * The file from its beginning, shared with whoever maps it, at an address that lets huge pages of it be mapped as such.
 * MAP_FAILED, with errno, when that is not possible. To be unmapped by its address and length.
 */
void *wmbt_room_map(int fd, size_t length, int protection);

#endif
