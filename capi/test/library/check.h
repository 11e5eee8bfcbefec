/* What the tests of the library share: expectations, and hashes and payloads made from a name. */
#ifndef WMBT_TEST_CHECK_H
#define WMBT_TEST_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../include/wombatkv.h"

/* A test by its sentence. */
struct test_case {
  const char *name;
  void (*run)(void);
};

/* The tests of a group; the last one has no name. */
extern const struct test_case argument_tests[], block_tests[], tail_tests[], thread_tests[], opening_tests[],
    many_tests[], extended_tests[], term_tests[], habit_tests[];

/* Those that a program at the other side plays along with: it is told by standard output, and tells by input. */
extern const struct test_case outage_tests[], hostile_tests[], stopped_tests[], reserve_tests[], cancelled_tests[],
    shared_tests[], shared_process_tests[], shared_file_tests[], shared_tail_tests[],
    put_tail_tests[], get_tail_tests[], relayed_tests[], filling_tests[],
    one_put_tests[], one_get_tests[], ring_tests[], left_tests[], lent_tests[], rebuilt_tests[], use_tests[],
    full_disk_tests[], full_memory_tests[], engine_descriptor_tests[], store_descriptor_tests[],
    cut_tests[], harsh_habit_tests[], backlog_tests[];

/* Those of a store of the program's own, and of programs that are killed. */
extern const struct test_case embedded_tests[], embedded_fork_tests[], held_tests[], saving_tests[], accepted_tests[];
extern const struct test_case odd_setting_tests[], token_tests[], token_option_tests[];

/* Notes a failure of the test under way; false. Any thread. */
bool check_failed(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool check_passed(void);

/* Gives the condition. The message is made after it, and may tell of what it did. */
#define CHECK(condition, ...) ((condition) ? check_passed() : FAIL(__VA_ARGS__))
#define FAIL(...) check_failed(__FILE__, __LINE__, __VA_ARGS__)

/* Notes a failure when the text is NULL or does not hold the part. */
void check_text(const char *text, const char *part, const char *what);

/* Says `line` and waits until the other side answers with a line. */
void tell_and_wait(const char *line);

int64_t now_ms(void);

/* The handle that the environment names; ends the program with a message when there is none. */
wmbt_kv_handle_t *open_handle(void);

/*
 * Waits until the daemon answers. One that was silent is asked again for a short time only, and on a busy machine may
 * not have had a processor since it goes on.
 */
void await_answer(wmbt_kv_handle_t *handle);

/* A batch of blocks whose hashes and bytes follow from its label: two of one label are equal. */
struct batch {
  size_t count;
  char (*digits)[65];
  const char **hashes;
  uint8_t **payloads;
  size_t *lens;
};

struct batch batch_of(const char *label, size_t count, size_t length);
void batch_free(struct batch *batch);
/* The payloads as the functions take them. */
const uint8_t *const *batch_payloads(const struct batch *batch);
/* 64 digits and a NUL that follow from label and number. */
void hash_of(const char *label, size_t number, char digits[65]);
/* Bytes that follow from the seed. */
void fill_bytes(uint8_t *bytes, size_t length, uint64_t seed);

/* Checks that a get gives exactly the batch from `first` on, `count` blocks of it; with what went wrong. */
void check_get(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch, size_t first, size_t count);
/* Checks the answer of a lookup. */
void check_lookup(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch, size_t expected);
/* Checks that the put returns the sum of the lengths. */
void check_put(wmbt_kv_handle_t *handle, const char *ns, const struct batch *batch);

#endif
