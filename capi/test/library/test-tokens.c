/* A daemon that asks for a token. Its file is in WMBT_KV_TOKEN_FILE, and another one beside it holds a wrong one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* Puts, finds and reads blocks through the handle, and frees it. */
static void use(wmbt_kv_handle_t *handle, const char *label) {
  if (!CHECK(handle != NULL, "%s: %s", label, wmbt_kv_last_error())) return;
  struct batch batch = batch_of(label, 3, 70000);
  check_put(handle, "tokens", &batch);
  check_lookup(handle, "tokens", &batch, 3);
  check_get(handle, "tokens", &batch, 0, 3);
  batch_free(&batch);
  wmbt_kv_free(handle);
}

static void by_the_environment(void) {
  use(wmbt_kv_init_from_env(), "by-a-file");
  wmbt_kv_open_t options = WMBT_KV_OPEN_INIT;
  options.token = "";
  use(wmbt_kv_open(&options), "an-empty-option");
}

static void expect_refused(wmbt_kv_handle_t *handle, const char *message) {
  CHECK(handle == NULL, "it is let in: %s", message);
  check_text(wmbt_kv_last_error(), message, "a daemon with tokens");
  CHECK(wmbt_kv_last_error_code() == WMBT_KV_ERROR_INVALID, "code %d", wmbt_kv_last_error_code());
  wmbt_kv_free(handle);
}

static void without_the_right_one(void) {
  char *right = strdup(getenv("WMBT_KV_TOKEN_FILE"));
  (void)setenv("WMBT_KV_TOKEN_FILE", getenv("WMBT_TEST_WRONG_TOKEN_FILE"), 1);
  expect_refused(wmbt_kv_init_from_env(), "the token is none of this daemon");
  (void)unsetenv("WMBT_KV_TOKEN_FILE");
  expect_refused(wmbt_kv_init_from_env(), "this daemon asks for a token");
  (void)setenv("WMBT_KV_TOKEN_FILE", "/no/such/file", 1);
  expect_refused(wmbt_kv_init_from_env(), "/no/such/file cannot be read");
  (void)setenv("WMBT_KV_TOKEN_FILE", right, 1);
  free(right);
}

static void by_an_option(void) {
  char *right = strdup(getenv("WMBT_KV_TOKEN_FILE"));
  (void)setenv("WMBT_KV_TOKEN_FILE", getenv("WMBT_TEST_WRONG_TOKEN_FILE"), 1);
  wmbt_kv_open_t options = WMBT_KV_OPEN_INIT;
  options.token = getenv("WMBT_TEST_TOKEN");
  use(wmbt_kv_open(&options), "by-an-option");
  (void)setenv("WMBT_KV_TOKEN_FILE", right, 1);
  options.token = "another";
  expect_refused(wmbt_kv_open(&options), "the token is none of this daemon");
  free(right);
}

const struct test_case token_tests[] = {
    {"who shows a daemon's token, from a file, is served", by_the_environment},
    {"who shows another or none is told so as he opens", without_the_right_one},
    {NULL, NULL},
};

/* With TLS they are not taken (test-opening.c). */
const struct test_case token_option_tests[] = {
    {"a token of the options counts instead of that of the file", by_an_option},
    {NULL, NULL},
};
