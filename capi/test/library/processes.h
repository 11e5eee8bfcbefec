/* The processes around a test, as /proc shows them. */
#ifndef WMBT_TEST_PROCESSES_H
#define WMBT_TEST_PROCESSES_H

#include <stddef.h>
#include <sys/types.h>

enum { children_max = 16, proc_text_max = 65536 };

/* What a file of /proc says of a process; NUL-terminated, gives its length. */
size_t proc_text(pid_t pid, const char *name, char text[proc_text_max]);

/* The children of this process that run; those that have ended and are not waited for do not count. */
unsigned children(pid_t pids[children_max]);

/* The one child that there should be; 0 when there is none. */
pid_t only_child(void);

/* Threads of this process. */
unsigned own_threads(void);

void await_no_child(void);
void await_end_of(pid_t pid);
void pause_ms(unsigned ms);

#endif
