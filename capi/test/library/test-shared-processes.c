/* Processes that share a daemon's memory: killed, forked, and watched for system calls. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "shared.h"

enum { mebibyte = 1048576 };

/* Two pipes between a process and its child. */
struct line {
  int to_child[2], to_parent[2];
};

static struct line new_line(void) {
  struct line line;
  if (pipe(line.to_child) != 0 || pipe(line.to_parent) != 0) exit(2);
  return line;
}

static void close_line(const struct line *line) {
  for (unsigned i = 0; i < 2; i += 1) {
    (void)close(line->to_child[i]);
    (void)close(line->to_parent[i]);
  }
}

static bool say(int fd) {
  ssize_t written;
  do written = write(fd, "x", 1);
  while (written < 0 && errno == EINTR);
  return written == 1;
}

static bool hear(int fd) {
  char one;
  ssize_t got;
  do got = read(fd, &one, 1);
  while (got < 0 && errno == EINTR);
  return got == 1;
}

static pid_t start(void) {
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) exit(2);
  return pid;
}

static int status_of(pid_t pid) {
  int status = -1;
  pid_t ended;
  do ended = waitpid(pid, &status, 0);
  while (ended < 0 && errno == EINTR);
  return status;
}

/* Whatever was pinned before, new blocks find room: three quarters of the memory can be had. */
static void check_room(wmbt_kv_handle_t *handle, const char *label) {
  struct batch fresh = batch_of(label, 12, mebibyte);
  check_put(handle, "", &fresh);
  struct loan loan = lend_blocks(handle, &fresh);
  check_unchanged(&loan, &fresh, "in memory that was used before");
  wmbt_kv_release_borrow(loan.borrow);
  batch_free(&fresh);
}

static void client_is_killed(void) {
  struct batch pinned = batch_of("killed-client", 12, mebibyte), other = batch_of("other-client", 12, mebibyte);
  struct line line = new_line();
  const pid_t pid = start();
  if (pid == 0) {
    wmbt_kv_handle_t *own = open_handle();
    check_put(own, "", &pinned);
    struct loan loan = lend_blocks(own, &pinned);
    (void)say(line.to_parent[1]);
    (void)hear(line.to_child[0]);
    _exit(is_lent(&loan, 12) ? 0 : 1);
  }
  wmbt_kv_handle_t *handle = open_handle();
  CHECK(hear(line.to_parent[0]), "the client broke off");
  check_put(handle, "", &other);
  check_get(handle, "", &other, 0, 12);
  struct loan loan = borrow_blocks(handle, &other);
  check_unchanged(&loan, &other, "beside a client that pins");
  CHECK(!is_lent(&loan, 12), "memory is used that a client has pinned");
  wmbt_kv_release_borrow(loan.borrow);
  (void)kill(pid, SIGKILL);
  CHECK(WIFSIGNALED(status_of(pid)), "the client was not killed");
  check_room(handle, "after-killed-client");
  close_line(&line);
  batch_free(&pinned);
  batch_free(&other);
  wmbt_kv_free(handle);
}

/* What a child finds in what it inherited, while its parent has released it and uses memory anew. */
static int look_at_inheritance(wmbt_kv_handle_t *handle, const struct loan *loan, const struct batch *batch,
                               const struct line *line) {
  const bool is_told = say(line->to_parent[1]) && hear(line->to_child[0]);
  bool is_equal = true;
  for (size_t i = 0; i < batch->count; i += 1) {
    is_equal = is_equal && memcmp(loan->payloads[i], batch->payloads[i], batch->lens[i]) == 0;
  }
  size_t matched = 0;
  const bool is_found =
      wmbt_kv_lookup_block_prefix(handle, "", batch->hashes, batch->count, &matched, NULL, 0) == 0 && matched == 8;
  wmbt_kv_release_borrow(loan->borrow);
  wmbt_kv_free(handle);
  return (is_told ? 0 : 1) | (is_equal ? 0 : 2) | (is_found ? 0 : 4);
}

static void fork_with_borrows(const char *label) {
  wmbt_kv_handle_t *handle = open_handle();
  struct batch batch = batch_of(label, 8, mebibyte);
  check_put(handle, "", &batch);
  struct loan loan = lend_blocks(handle, &batch);
  struct line line = new_line();
  const pid_t pid = start();
  if (pid == 0) _exit(look_at_inheritance(handle, &loan, &batch, &line));
  CHECK(hear(line.to_parent[0]), "the child broke off");
  check_unchanged(&loan, &batch, "for the parent");
  wmbt_kv_release_borrow(loan.borrow);
  fill_memory(handle, label);
  (void)say(line.to_child[1]);
  const int status = status_of(pid);
  CHECK(status == 0, "the child ends with %x: 1 broken off, 2 other bytes, 4 no lookup", (unsigned)status >> 8);
  close_line(&line);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void child_keeps_borrows(void) {
  fork_with_borrows("inherited");
  wmbt_kv_handle_t *handle = open_handle();
  check_room(handle, "after-inheritance");
  wmbt_kv_free(handle);
}

static void child_without_place(void) {
  struct line line = new_line();
  const pid_t pid = start();
  if (pid == 0) {
    /* With the handle of the test they are all that a daemon takes. */
    for (unsigned i = 0; i < 63; i += 1) (void)open_handle();
    _exit(say(line.to_parent[1]) && hear(line.to_child[0]) ? 0 : 1);
  }
  CHECK(hear(line.to_parent[0]), "the other clients broke off");
  fork_with_borrows("no-place");
  (void)say(line.to_child[1]);
  CHECK(status_of(pid) == 0, "the other clients broke off");
  close_line(&line);
}

/* 1: something is lent without a place; 2: another's memory was used anew while it was lent. */
static int go_on_without_descriptors(const struct batch *first, const struct batch *second) {
  wmbt_kv_handle_t *handle = open_handle();
  check_put(handle, "", first);
  check_put(handle, "", second);
  struct loan before = lend_blocks(handle, first);
  for (int fd = 3; fd < 1024; fd += 1) (void)close(fd);
  /* Takes the place that is free now, and pins in it by the same numbers. */
  wmbt_kv_handle_t *other = open_handle();
  struct loan theirs = lend_blocks(other, second);
  struct loan after = borrow_blocks(handle, first);
  const bool is_lent_at_once = is_lent(&after, 1);
  wmbt_kv_release_borrow(before.borrow);
  wmbt_kv_release_borrow(after.borrow);
  fill_memory(other, "closed");
  bool is_equal = theirs.borrow != NULL;
  for (size_t i = 0; is_equal && i < second->count; i += 1) {
    is_equal = memcmp(theirs.payloads[i], second->payloads[i], second->lens[i]) == 0;
  }
  /* With a place of its own it lends again. */
  for (const int64_t end = now_ms() + 1500; now_ms() < end;) check_lookup(handle, "", second, second->count);
  struct loan again = lend_blocks(handle, second);
  const bool is_lent_again = is_lent(&again, second->count);
  wmbt_kv_release_borrow(again.borrow);
  wmbt_kv_release_borrow(theirs.borrow);
  wmbt_kv_free(handle);
  wmbt_kv_free(other);
  return (is_lent_at_once ? 1 : 0) | (is_equal ? 0 : 2) | (is_lent_again ? 0 : 4);
}

static void closed_descriptors(void) {
  struct batch first = batch_of("closed-first", 3, mebibyte), second = batch_of("closed-second", 3, mebibyte);
  const pid_t pid = start();
  if (pid == 0) _exit(go_on_without_descriptors(&first, &second));
  const int status = status_of(pid);
  CHECK(status == 0, "it ends with %x: 1 lends without a place, 2 unpins another's, 4 never lends again",
        (unsigned)status >> 8);
  batch_free(&first);
  batch_free(&second);
}

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#else
#define IS_SANITIZED 1
#endif

#ifndef IS_SANITIZED

/* From now on any system call but the one that ends the process kills it. */
static bool forbid_system_calls(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const struct sock_fprog program = {sizeof code / sizeof code[0], code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { call_count = 1000 };

/* A lookup and a get with its release; true when both find everything. */
static bool look_up_and_borrow(wmbt_kv_handle_t *handle, const struct batch *batch) {
  size_t matched = 0;
  if (wmbt_kv_lookup_block_prefix(handle, "", batch->hashes, batch->count, &matched, NULL, 0) != 0) return false;
  const uint8_t **payloads;
  const size_t *lens;
  wmbt_kv_borrow_t *borrow;
  const int32_t rc =
      wmbt_kv_get_kv_blocks_borrowed(handle, "", batch->hashes, batch->count, &payloads, &lens, &borrow);
  if (rc != 1) return false;
  const bool is_whole = payloads[batch->count - 1][0] == batch->payloads[batch->count - 1][0];
  wmbt_kv_release_borrow(borrow);
  return matched == batch->count && is_whole;
}

static int call_without_system(const struct batch *batch) {
  wmbt_kv_handle_t *handle = open_handle();
  check_put(handle, "", batch);
  struct loan loan = lend_blocks(handle, batch);
  wmbt_kv_release_borrow(loan.borrow);
  if (!look_up_and_borrow(handle, batch)) return 1;
  if (!forbid_system_calls()) return 77;
  for (unsigned i = 0; i < call_count; i += 1) {
    if (!look_up_and_borrow(handle, batch)) return 2;
  }
  return 0;
}

static void no_system_call(void) {
  struct batch batch = batch_of("no-system-call", 80, 10000);
  const pid_t pid = start();
  if (pid == 0) _exit(call_without_system(&batch));
  const int status = status_of(pid);
  /* A kernel that takes no filter cannot tell. */
  const bool is_well = status == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 77);
  CHECK(is_well, "1,000 lookups and gets end with status %x: a signal is a system call", (unsigned)status);
  batch_free(&batch);
}

/* The same for a lookup of blocks that the daemon has let go of: it knows them in the bucket. */
static int look_up_without_system(const struct batch *batch) {
  wmbt_kv_handle_t *handle = open_handle();
  size_t matched = 0;
  const char *const *hashes = batch->hashes;
  if (wmbt_kv_lookup_block_prefix(handle, "", hashes, batch->count, &matched, NULL, 0) != 0) return 1;
  if (!forbid_system_calls()) return 77;
  for (unsigned i = 0; i < call_count; i += 1) {
    matched = 0;
    const int32_t rc = wmbt_kv_lookup_block_prefix(handle, "", hashes, batch->count, &matched, NULL, 0);
    if (rc != 0 || matched != batch->count) return 2;
  }
  return 0;
}

static void no_system_call_for_known(void) {
  struct batch batch = batch_of("known-in-the-bucket", 80, 10000);
  wmbt_kv_handle_t *handle = open_handle();
  check_put(handle, "", &batch);
  CHECK(wmbt_kv_flush(handle, "", NULL) == 0, "flush: %s", wmbt_kv_last_error());
  fill_memory(handle, "instead-of-known");
  const pid_t pid = start();
  if (pid == 0) _exit(look_up_without_system(&batch));
  const int status = status_of(pid);
  const bool is_well = status == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 77);
  CHECK(is_well, "1,000 lookups end with status %x: a signal is a system call", (unsigned)status);
  CHECK(!were_in_memory(handle, &batch), "the blocks lay in the daemon's memory");
  wmbt_kv_free(handle);
  batch_free(&batch);
}

/* A tail of all tokens that are asked for. */
static bool borrow_tail(wmbt_kv_handle_t *handle, const char *tip, const int32_t *tokens) {
  const wmbt_kv_payload_t *payload;
  wmbt_kv_borrow_t *borrow;
  if (wmbt_kv_load_tail(handle, "", tip, tokens, 100, NULL, &payload, &borrow) != 1) return false;
  const bool is_right = payload->tokens == 100 && payload->length == mebibyte && payload->bytes[mebibyte - 1] == 5;
  wmbt_kv_release_borrow(borrow);
  return is_right;
}

static int load_tails_without_system(const char *tip, const int32_t *tokens) {
  wmbt_kv_handle_t *handle = open_handle();
  if (!borrow_tail(handle, tip, tokens)) return 1;
  if (!forbid_system_calls()) return 77;
  for (unsigned i = 0; i < call_count; i += 1) {
    if (!borrow_tail(handle, tip, tokens)) return 2;
  }
  return 0;
}

static void no_system_call_for_tails(void) {
  static uint8_t bytes[mebibyte];
  static int32_t tokens[100];
  char tip[65];
  hash_of("no-system-call-tail", 0, tip);
  (void)memset(bytes, 5, sizeof bytes);
  wmbt_kv_handle_t *handle = open_handle();
  const wmbt_kv_tail_t tail = {
      .tip = tip, .tokens = tokens, .token_count = 100, .bytes = bytes, .length = sizeof bytes};
  CHECK(wmbt_kv_save_tail(handle, "", &tail, NULL, NULL) == 0, "save of a tail: %s", wmbt_kv_last_error());
  const pid_t pid = start();
  if (pid == 0) _exit(load_tails_without_system(tip, tokens));
  const int status = status_of(pid);
  const bool is_well = status == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 77);
  CHECK(is_well, "1,000 loads of a tail end with status %x: a signal is a system call", (unsigned)status);
  wmbt_kv_free(handle);
}

#else

/* A sanitizer makes calls of its own. */
static void no_system_call(void) {}
static void no_system_call_for_known(void) {}
static void no_system_call_for_tails(void) {}

#endif

const struct test_case shared_process_tests[] = {
    {"a client is killed while it pins, and its memory comes back", client_is_killed},
    {"a forked child reads what its parent borrowed and has released", child_keeps_borrows},
    {"a forked child does so when the daemon takes no more clients", child_without_place},
    {"an engine that has closed all descriptors lends nothing from a place that is another's, and unpins nothing there",
     closed_descriptors},
    {"1,000 lookups and gets of resident blocks make no system call", no_system_call},
    {"1,000 loads of a resident tail by another process make no system call", no_system_call_for_tails},
    {"1,000 lookups of blocks that are known in the bucket make no system call", no_system_call_for_known},
    {NULL, NULL},
};
