#include "processes.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

size_t proc_text(pid_t pid, const char *name, char text[proc_text_max]) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  FILE *file = fopen(path, "r");
  const size_t length = file == NULL ? 0 : fread(text, 1, proc_text_max - 1, file);
  text[length] = '\0';
  if (file != NULL) (void)fclose(file);
  return length;
}

unsigned children(pid_t pids[children_max]) {
  static char text[proc_text_max];
  unsigned count = 0;
  DIR *directory = opendir("/proc");
  if (directory == NULL) return 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
    if (pid <= 0 || proc_text(pid, "stat", text) == 0) continue;
    const char *behind = strrchr(text, ')');
    char state = 'Z';
    int parent = 0;
    if (behind == NULL || sscanf(behind + 1, " %c %d", &state, &parent) != 2) continue;
    if (parent == getpid() && state != 'Z' && count < children_max) pids[count++] = pid;
  }
  (void)closedir(directory);
  return count;
}

pid_t only_child(void) {
  pid_t pids[children_max];
  const unsigned count = children(pids);
  CHECK(count == 1, "%u store processes run", count);
  return count == 0 ? 0 : pids[0];
}

unsigned own_threads(void) {
  unsigned count = 0;
  DIR *directory = opendir("/proc/self/task");
  if (directory == NULL) return 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) count += entry->d_name[0] == '.' ? 0 : 1;
  (void)closedir(directory);
  return count;
}

void pause_ms(unsigned ms) { (void)usleep(ms * 1000); }

void await_no_child(void) {
  pid_t pids[children_max];
  const int64_t end = now_ms() + 30000;
  while (children(pids) > 0 && now_ms() < end) pause_ms(20);
  CHECK(children(pids) == 0, "a store process stays behind");
}

void await_end_of(pid_t pid) {
  pid_t pids[children_max];
  const int64_t end = now_ms() + 30000;
  for (bool is_there = true; is_there && now_ms() < end;) {
    is_there = false;
    for (unsigned i = children(pids); i > 0; i -= 1) is_there = is_there || pids[i - 1] == pid;
    if (is_there) pause_ms(10);
  }
}
