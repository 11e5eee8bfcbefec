/* A store of this process's own: what it inherits, how it ends, and what takes its place. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "processes.h"

enum { descriptors_max = 1024 };

/* Lookups until one succeeds, since a store that died twice in a row is not replaced at once. */
static void await_lookup(wmbt_kv_handle_t *handle, const struct batch *batch) {
  const int64_t end = now_ms() + 20000;
  size_t matched = 0;
  int32_t rc = -1;
  while (rc != 0 && now_ms() < end) {
    rc = wmbt_kv_lookup_block_prefix(handle, "own", batch->hashes, batch->count, &matched, NULL, 0);
    if (rc != 0) check_text(wmbt_kv_last_error(), "unavailable", "a call without a store");
    if (rc != 0) pause_ms(20);
  }
  CHECK(rc == 0 && matched == batch->count, "lookup gives %d and %zu", rc, matched);
}

/* Checks that a store works, in a namespace that all tests here have. */
static void use(wmbt_kv_handle_t *handle, const char *label) {
  struct batch batch = batch_of(label, 3, 50000);
  check_put(handle, "own", &batch);
  check_lookup(handle, "own", &batch, 3);
  check_get(handle, "own", &batch, 0, 3);
  batch_free(&batch);
}

static void one_for_all_handles(void) {
  const int64_t began = now_ms();
  wmbt_kv_handle_t *one = open_handle();
  printf("note ready in %lld ms\n", (long long)(now_ms() - began));
  wmbt_kv_handle_t *other = open_handle();
  (void)only_child();
  struct batch batch = batch_of("shared-handles", 4, 30000);
  check_put(one, "own", &batch);
  check_lookup(other, "own", &batch, 4);
  wmbt_kv_free(one);
  check_get(other, "own", &batch, 0, 4);
  (void)setenv("WMBT_KV_NAMESPACE", "elsewhere", 1);
  wmbt_kv_handle_t *third = open_handle();
  check_lookup(third, "", &batch, 0);
  (void)only_child();
  (void)unsetenv("WMBT_KV_NAMESPACE");
  (void)setenv("WMBT_KV_BLOCK_COMPRESS_LEVEL", "2", 1);
  wmbt_kv_handle_t *fourth = open_handle();
  pid_t pids[children_max];
  CHECK(children(pids) == 2, "another configuration has no store of its own");
  use(fourth, "fourth");
  (void)unsetenv("WMBT_KV_BLOCK_COMPRESS_LEVEL");
  wmbt_kv_free(other);
  wmbt_kv_free(third);
  wmbt_kv_free(fourth);
  batch_free(&batch);
  await_no_child();
}

static void killed_store(void) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of("killed-store", 5, 80000);
  check_put(handle, "own", &batch);
  const uint8_t **payloads = NULL;
  const size_t *lens = NULL;
  wmbt_kv_borrow_t *borrow = NULL;
  CHECK(wmbt_kv_get_kv_blocks_borrowed(handle, "own", batch.hashes, 5, &payloads, &lens, &borrow) == 1, "no borrow");
  pid_t before = 0;
  for (unsigned round = 0; round < 4; round += 1) {
    const pid_t pid = only_child();
    CHECK(pid != before, "the store that was killed is there");
    if (pid > 0) (void)kill(pid, round % 2 == 0 ? SIGKILL : SIGTERM);
    /* The first one is replaced by the very next call. */
    if (round == 0) check_lookup(handle, "own", &batch, 5);
    await_end_of(pid);
    await_lookup(handle, &batch);
    check_get(handle, "own", &batch, 0, 5);
    before = pid;
  }
  CHECK(borrow != NULL && memcmp(payloads[4], batch.payloads[4], lens[4]) == 0, "the borrow has changed");
  wmbt_kv_release_borrow(borrow);
  batch_free(&batch);
  wmbt_kv_free(handle);
  await_no_child();
}

/* Whether the system knows of the process, which it does of one that has ended until its parent takes note. */
static bool is_known(pid_t pid) { return kill(pid, 0) == 0; }

/* Waits without any call of the library. */
static void await_nothing_of(pid_t pid, unsigned threads) {
  for (const int64_t end = now_ms() + 30000; now_ms() < end && (is_known(pid) || own_threads() > threads);) pause_ms(5);
  CHECK(!is_known(pid), "a process that has ended stays");
  CHECK(own_threads() <= threads, "%u threads instead of %u", own_threads(), threads);
}

/* Freed, as one that serves and as one that has been killed, which the engine does not know yet. */
static void no_process_stays(void) {
  const unsigned threads = own_threads();
  for (unsigned round = 0; round < 2; round += 1) {
    wmbt_kv_handle_t *handle = open_handle();
    const pid_t pid = only_child();
    if (round == 1) (void)kill(pid, SIGKILL);
    wmbt_kv_free(handle);
    await_nothing_of(pid, threads);
  }
}

static void ignored_children(void) {
  struct sigaction ignoring = {.sa_handler = SIG_IGN}, before;
  (void)sigaction(SIGCHLD, &ignoring, &before);
  wmbt_kv_handle_t *handle = open_handle();
  use(handle, "ignored");
  const pid_t pid = only_child();
  if (pid > 0) (void)kill(pid, SIGKILL);
  use(handle, "ignored-again");
  wmbt_kv_free(handle);
  await_no_child();
  (void)sigaction(SIGCHLD, &before, NULL);
}

/* The set of signals that a line of /proc/<pid>/status has. */
static unsigned long long signals_of(pid_t pid, const char *name) {
  static char text[proc_text_max];
  (void)proc_text(pid, "status", text);
  const char *line = strstr(text, name);
  CHECK(line != NULL, "no %s of the store process", name);
  return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 16);
}

/* What the store process has open, one path a line. */
static void opened_by(pid_t pid, char text[proc_text_max]) {
  size_t length = 0;
  char path[96], target[1024];
  text[0] = '\0';
  for (int fd = 0; fd < descriptors_max; fd += 1) {
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
    const ssize_t count = readlink(path, target, sizeof target - 1);
    if (count <= 0 || length + (size_t)count + 16 > proc_text_max) continue;
    target[count] = '\0';
    length += (size_t)snprintf(text + length, proc_text_max - length, "%d %s\n", fd, target);
  }
}

static void nothing_inherited(void) {
  static char text[proc_text_max];
  char place[] = "/tmp/wombatkv-gone-XXXXXX";
  sigset_t all, mask_before;
  struct sigaction ignoring = {.sa_handler = SIG_IGN}, hangup_before;
  (void)sigfillset(&all);
  (void)sigprocmask(SIG_BLOCK, &all, &mask_before);
  (void)sigaction(SIGUSR2, &ignoring, &hangup_before);
  /* Open in every program that is started from here, and a directory that will be no more. */
  const int open_to_all = open("/etc/hostname", O_RDONLY);
  char *home = getcwd(NULL, 0);
  CHECK(mkdtemp(place) != NULL && chdir(place) == 0 && rmdir(place) == 0, "no directory to remove: %s", place);
  (void)setenv("NODE_OPTIONS", "--no-such-option", 1);
  (void)setenv("LD_PRELOAD", "/no/such/library.so", 1);
  (void)setenv("LD_AUDIT", "/no/such/audit.so", 1);
  (void)setenv("NODE_EXTRA_CA_CERTS", "/no/such/ca.pem", 1);
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  CHECK(handle != NULL, "it does not start: %s", wmbt_kv_last_error());
  const pid_t pid = only_child();
  CHECK(signals_of(pid, "SigBlk:") == 0, "signals are blocked: %llx", signals_of(pid, "SigBlk:"));
  const unsigned long long ignored = signals_of(pid, "SigIgn:");
  CHECK((ignored >> (SIGUSR2 - 1) & 1) == 0, "SIGUSR2 is ignored: %llx", ignored);
  CHECK(getsid(pid) == pid, "it is in the session of the engine");
  opened_by(pid, text);
  CHECK(strstr(text, "/etc/hostname") == NULL, "a descriptor of the engine is open in the store:\n%s", text);
  CHECK(strncmp(text, "0 /dev/null\n1 /dev/null\n2 /dev/null\n3 socket:", 45) == 0, "it begins with\n%.200s", text);
  const size_t length = proc_text(pid, "environ", text);
  for (const char *at = text; at < text + length; at += strlen(at) + 1) {
    const bool is_there = strncmp(at, "NODE_", 5) == 0 || strncmp(at, "LD_", 3) == 0;
    CHECK(!is_there || strncmp(at, "LD_LIBRARY_PATH=", 16) == 0, "it has %s", at);
  }
  if (handle != NULL) use(handle, "nothing-inherited");
  wmbt_kv_free(handle);
  (void)unsetenv("NODE_OPTIONS");
  (void)unsetenv("LD_PRELOAD");
  (void)unsetenv("LD_AUDIT");
  (void)unsetenv("NODE_EXTRA_CA_CERTS");
  CHECK(home != NULL && chdir(home) == 0, "back to %s", home);
  free(home);
  (void)close(open_to_all);
  (void)sigaction(SIGUSR2, &hangup_before, NULL);
  (void)sigprocmask(SIG_SETMASK, &mask_before, NULL);
  await_no_child();
}

static void closed_descriptors(void) {
  wmbt_kv_handle_t *handle = open_handle();
  use(handle, "before-closing");
  unsigned closed = 0;
  for (int fd = 3; fd < descriptors_max; fd += 1) closed += close(fd) == 0 ? 1 : 0;
  CHECK(closed >= 2, "%u descriptors of the library were open", closed);
  /* Files of the engine's take the numbers that the library's had. */
  int own[descriptors_max / 8];
  const size_t count = sizeof own / sizeof own[0];
  for (size_t i = 0; i < count; i += 1) own[i] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  use(handle, "after-closing");
  for (size_t i = 0; i < count; i += 1) {
    char byte = 1;
    CHECK(read(own[i], &byte, 1) == 1 && byte == 0, "file %zu of the engine was closed: %s", i, strerror(errno));
  }
  wmbt_kv_free(handle);
  for (size_t i = 0; i < count; i += 1) CHECK(close(own[i]) == 0, "file %zu was closed with the handle", i);
  await_no_child();
}

/* Opens with a variable set in addition, which must not work, and leaves nothing behind; gives the error's code. */
static int32_t fails_with(const char *name, const char *value, const char *message) {
  char *before = getenv(name) == NULL ? NULL : strdup(getenv(name));
  (void)setenv(name, value, 1);
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  CHECK(handle == NULL, "%s=%s is taken", name, value);
  check_text(wmbt_kv_last_error(), "embedded store: ", name);
  check_text(wmbt_kv_last_error(), message, name);
  const int32_t code = wmbt_kv_last_error_code();
  wmbt_kv_free(handle);
  if (before == NULL) (void)unsetenv(name);
  else (void)setenv(name, before, 1);
  free(before);
  await_no_child();
  return code;
}

/* The same of a setting that has to be mended. */
static void is_refused(const char *name, const char *value, const char *message) {
  const int32_t code = fails_with(name, value, message);
  CHECK(code == WMBT_KV_ERROR_INVALID, "%s=%s fails with code %d", name, value, code);
}

/* The same of what may work another time. */
static void is_not_there(const char *name, const char *value, const char *message) {
  const int32_t code = fails_with(name, value, message);
  CHECK(code == WMBT_KV_ERROR_UNAVAILABLE, "%s=%s fails with code %d", name, value, code);
}

/* A store program of these lines, in the home directory. */
static const char *program_of(const char *lines) {
  static char path[512];
  (void)snprintf(path, sizeof path, "%s/program.cjs", getenv("HOME"));
  FILE *file = fopen(path, "w");
  if (file == NULL) exit(2);
  (void)fputs(lines, file);
  (void)fclose(file);
  return path;
}

static void what_cannot_start(void) {
  char below_a_file[600];
  is_refused("PATH", "/nowhere:relative", "no program node in the directories of PATH (/nowhere:relative)");
  is_refused("WMBT_KV_NODE", "no-such-node", "no program no-such-node in the directories of PATH");
  is_refused("WMBT_KV_NODE", program_of(""), "WMBT_KV_NODE: there is no program ");
  is_refused("WMBT_KV_NODE", "./node", "WMBT_KV_NODE is \"./node\"; accepted: an absolute path");
  is_refused("WMBT_KV_STORE", "/no/such/store.cjs", "WMBT_KV_STORE: there is no file /no/such/store.cjs");
  is_not_there("WMBT_KV_STORE", program_of("process.exit(3);"), "the store process ended before it said anything");
  const char *other = "require('node:net').Socket({ fd: 3 }).write('hello\\n'); setInterval(() => {}, 1000);";
  is_not_there("WMBT_KV_STORE", program_of(other), "the store program says: hello");
  is_refused("WMBT_KV_PUFFER_RAM_BYTES", "much", "invalid: WMBT_KV_PUFFER_RAM_BYTES is \"much\"");
  (void)snprintf(below_a_file, sizeof below_a_file, "%s/cache", program_of(""));
  is_not_there("WMBT_KV_PUFFER_DIR", below_a_file, "unavailable: the cache directory ");
  is_not_there("WMBT_KV_RUNTIME_DIR", "/etc/hostname", "/etc/hostname");
  /* One that never says anything is given up after the time to connect, and is not left behind. */
  (void)setenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", "300", 1);
  is_not_there("WMBT_KV_STORE", program_of("setInterval(() => {}, 1000);"), "the store process is still starting");
  (void)unsetenv("WMBT_KV_REMOTE_CALL_TIMEOUT_MS");
}

const struct test_case embedded_tests[] = {
    {"handles of one configuration share a store process, those of another have their own", one_for_all_handles},
    {"a store process that is killed is replaced by the next call, with what it had accepted", killed_store},
    {"no process and no thread stays behind the last handle, without another call", no_process_stays},
    {"an engine may ignore SIGCHLD", ignored_children},
    {"a store process inherits nothing but the environment, without what would change Node", nothing_inherited},
    {"an engine may close all descriptors, and files under their numbers stay its own", closed_descriptors},
    {"what cannot be started is named, and leaves no process behind", what_cannot_start},
    {NULL, NULL},
};

/* Which process this is, and which is its store; 0 for a daemon's. */
static void say_processes(void) {
  const pid_t store = getenv("WMBT_KV_REMOTE_PREFIX") == NULL ? only_child() : 0;
  printf("engine %d store %d\n", (int)getpid(), (int)store);
}

/* Opens, saves, says which processes there are, and waits to be killed. */
static void wait_for_the_end(void) {
  wmbt_kv_handle_t *handle = open_handle();
  use(handle, "held");
  say_processes();
  tell_and_wait("held");
  wmbt_kv_free(handle);
}

const struct test_case held_tests[] = {{"an engine is killed while it waits", wait_for_the_end}, {NULL, NULL}};

enum { save_blocks = 4, saves_max = 100000 };

/* Whether blocks are to go to memory that a daemon lends ahead of need, for which it has a moment behind each save. */
static bool are_lent(void) { return getenv("WMBT_TEST_LENT") != NULL; }

static struct batch save_of(unsigned number) {
  char label[32];
  (void)snprintf(label, sizeof label, "save-%u", number);
  /* Else short enough for a daemon's ring, where there is a daemon. */
  const bool are_short = getenv("WMBT_KV_REMOTE_PREFIX") != NULL && !are_lent();
  return batch_of(label, save_blocks, are_short ? 6000 : 60000);
}

/* Saves one batch after another, and says so of each, until it is killed. */
static void save_until_killed(void) {
  wmbt_kv_handle_t *handle = open_handle();
  say_processes();
  for (unsigned number = 0; number < saves_max; number += 1) {
    struct batch batch = save_of(number);
    check_put(handle, "own", &batch);
    printf("accepted %u\n", number + 1);
    (void)fflush(stdout);
    batch_free(&batch);
    if (are_lent()) pause_ms(15);
  }
  wmbt_kv_free(handle);
}

const struct test_case saving_tests[] = {{"an engine is killed while it saves", save_until_killed}, {NULL, NULL}};

/* All that the engine before it was told had been accepted. */
static void find_accepted(void) {
  const char *accepted = getenv("WMBT_TEST_ACCEPTED");
  wmbt_kv_handle_t *handle = open_handle();
  say_processes();
  for (unsigned number = 0; accepted != NULL && number < strtoul(accepted, NULL, 10); number += 1) {
    struct batch batch = save_of(number);
    check_lookup(handle, "own", &batch, save_blocks);
    check_get(handle, "own", &batch, 0, save_blocks);
    batch_free(&batch);
  }
  wmbt_kv_free(handle);
}

const struct test_case accepted_tests[] = {
    {"every block that was accepted before is found and read at once", find_accepted},
    {NULL, NULL},
};
