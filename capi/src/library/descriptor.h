/*
 * A descriptor of the library's in a process that is somebody else's: an engine may close all descriptors that it
 * finds, and the number may then stand for a file of its own.
 */
#ifndef WMBT_DESCRIPTOR_H
#define WMBT_DESCRIPTOR_H

#include <stdbool.h>
#include <sys/types.h>

struct wmbt_descriptor {
  /* -1: none. */
  int fd;
  dev_t device;
  ino_t file;
};

/*
 * The descriptor under a number that is not one of standard input, output and error: where an engine has none of them,
 * the system gives their numbers first, and what it prints would go to the daemon. -1 with errno where there is no
 * other number; the one that was given is closed then.
 */
int wmbt_descriptor_lift(int fd);

/* What this process has under the number now. */
struct wmbt_descriptor wmbt_descriptor_of(int fd);

/* False when it was closed behind our back. */
bool wmbt_descriptor_is_ours(const struct wmbt_descriptor *descriptor);

/*
 * Whether something is there to be read, without waiting: 0 for nothing, negative with errno. A signal of the engine's
 * breaks that question off, too, and says nothing about what is there: it is asked again.
 */
int wmbt_descriptor_look(int fd);

/* Closes it, and nothing else that has its number now. */
void wmbt_descriptor_close(struct wmbt_descriptor *descriptor);

#endif
