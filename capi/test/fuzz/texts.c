/*
 * Texts that come from files, the environment and an engine. The first byte of an input says what the rest is: A the
 * file that says where a daemon shares its memory, E an address, H hashes, N a namespace, P a path, S settings, one a
 * line, T a file of tokens. Each lies in memory of just its length, so that no read goes beyond it unseen.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/hex.h"
#include "../../src/library/address.h"
#include "../../src/library/arguments.h"
#include "../../src/library/overlay.h"
#include "../../src/library/settings.h"
#include "../../src/library/shared-files.h"
#include "../../src/library/text.h"
#include "fuzz.h"

enum { text_max = 8192, announced_max = 64, lines_max = 24 };

/* The environment, which is the lines of a text for a while. */
extern char **environ;

static char file_path[128];
static int file = -1;

static void remove_file(void) { (void)unlink(file_path); }

/* One file for all inputs, in memory where TMPDIR lies there: making one takes longer than all that reads it. */
static void write_file(const char *text, size_t length) {
  if (file < 0) {
    const char *directory = getenv("TMPDIR");
    (void)snprintf(file_path, sizeof file_path, "%s/wombatkv-fuzz-XXXXXX", directory == NULL ? "/tmp" : directory);
    file = mkstemp(file_path);
    (void)atexit(remove_file);
  }
  if (file < 0 || ftruncate(file, (off_t)length) != 0) exit(2);
  if (length > 0 && pwrite(file, text, length, 0) != (ssize_t)length) exit(2);
}

/* A path of one line, which ends in the room that there is for it. */
static void read_announcement(const char *text, size_t length) {
  char *path = malloc(announced_max);
  if (path == NULL) return;
  write_file(text, length);
  if (wmbt_shared_announced(file_path, path, announced_max)) {
    const size_t end = strnlen(path, announced_max);
    MUST(end > 0 && end < announced_max && path[0] == '/');
    MUST(memchr(path, '\n', end) == NULL && memcmp(path, text, end) == 0);
    /* All of the line, or all up to a NUL. */
    MUST(end == length || memchr("\r\n", text[end], 3) != NULL);
  }
  free(path);
}

static void read_endpoint(const char *text) {
  struct wmbt_endpoint endpoint;
  if (!wmbt_endpoint_parse(text, &endpoint)) return;
  MUST(memchr(endpoint.host, '\0', sizeof endpoint.host) != NULL && endpoint.host[0] != '\0');
  MUST(memchr(endpoint.port, '\0', sizeof endpoint.port) != NULL && endpoint.port[0] != '\0');
  (void)wmbt_endpoint_is_numeric(&endpoint);
}

/* Every parser that runs on this machine, which must say the same; 64 digits need nothing behind them. */
static void read_digits(const char *text) {
  char *digits = malloc(wmbt_digest_digits);
  if (digits == NULL) return;
  (void)memcpy(digits, text, wmbt_digest_digits);
  uint8_t first[wmbt_digest_bytes], other[wmbt_digest_bytes];
  unsigned count = 0;
  const bool is_sound = wmbt_hex_parse(digits, first);
  const struct wmbt_hex_parser *parsers = wmbt_hex_parsers(&count);
  for (unsigned i = 0; i < count; i += 1) {
    if (!parsers[i].is_supported()) continue;
    MUST(parsers[i].parse(digits, other) == is_sound);
    MUST(!is_sound || memcmp(first, other, sizeof other) == 0);
  }
  free(digits);
}

/* The lines of a text, which is cut up for it; the list ends with NULL. */
static size_t split_lines(char *text, char *lines[lines_max + 1]) {
  size_t count = 0;
  char *rest = NULL;
  char *line = strtok_r(text, "\n", &rest);
  for (; line != NULL && count < lines_max; line = strtok_r(NULL, "\n", &rest)) {
    lines[count++] = line;
  }
  lines[count] = NULL;
  return count;
}

static void read_hashes(char *text) {
  char *lines[lines_max + 1];
  struct wmbt_parsed_keys keys;
  struct wmbt_failure failure;
  struct wmbt_key tip;
  if (strlen(text) >= wmbt_digest_digits) read_digits(text);
  if (wmbt_check_tip("call", text, &tip, &failure)) MUST(strlen(text) == wmbt_digest_digits);
  const size_t count = split_lines(text, lines);
  if (!wmbt_check_hashes((const char *const *)lines, count, &keys, &failure)) {
    MUST(memchr(failure.text, '\0', sizeof failure.text) != NULL);
  }
  wmbt_free_parsed_keys(&keys);
}

static void read_namespace(const char *text) {
  const char *ns = NULL;
  struct wmbt_failure failure;
  if (!wmbt_check_namespace(text, "own", &ns, &failure)) return;
  MUST(strlen(ns) <= WMBT_NAMESPACE_BYTES_MAX && wmbt_is_utf8(ns, strlen(ns)));
}

static void read_path(const char *text) {
  struct wmbt_failure failure;
  char path[wmbt_path_max];
  if (wmbt_settings_path("WMBT_KV_PUFFER_DIR", text, path, &failure)) {
    MUST(path[0] == '/' && memchr(path, '\0', sizeof path) != NULL);
    const size_t length = strlen(path);
    MUST(length == 1 || path[length - 1] != '/');
  } else {
    MUST(memchr(failure.text, '\0', sizeof failure.text) != NULL);
  }
}

/* What opens a handle reads of the environment. */
static void read_environment(void) {
  struct wmbt_settings settings;
  struct wmbt_failure failure;
  const char *value = NULL;
  char path[wmbt_path_max];
  if (wmbt_settings_read(&settings, &failure)) {
    MUST(strlen(settings.ns) <= WMBT_NAMESPACE_BYTES_MAX && strlen(settings.token) <= WMBT_TOKEN_BYTES_MAX);
    MUST(settings.calls.lookup_ms > 0 && settings.calls.lookup_ms <= settings.calls.most_ms);
  } else {
    MUST(memchr(failure.text, '\0', sizeof failure.text) != NULL);
  }
  if (wmbt_settings_door(&value) == wmbt_door_prefix && wmbt_settings_socket(value, path, &failure)) {
    MUST(path[0] == '/' && memchr(path, '\0', sizeof path) != NULL);
  }
  (void)wmbt_settings_asks_for_near_cache();
}

/*
 * Each line counts as a variable, and as one of the settings of a call; but for the first one with a `@`, which says
 * that only those count, and names a daemon.
 */
static void read_settings(char *text) {
  char *lines[lines_max + 1], **const before = environ;
  struct wmbt_settings settings = {0};
  struct wmbt_failure failure;
  const size_t count = split_lines(text, lines);
  for (size_t i = 0; i < count; i += 1) {
    /* It names a file, which may be any here. */
    if (strncmp(lines[i], "WMBT_KV_TOKEN_FILE=", 19) == 0) return;
  }
  const bool is_alone = count > 0 && lines[0][0] == '@';
  const wmbt_kv_open_t options = {
      .size = sizeof options,
      .flags = is_alone ? WMBT_KV_OPEN_WITHOUT_ENVIRONMENT : 0,
      .tcp_addr = is_alone ? lines[0] + 1 : NULL,
      .ns = is_alone || count == 0 ? NULL : lines[0],
      .settings = (const char *const *)lines + (is_alone ? 1 : 0),
  };
  environ = lines;
  read_environment();
  if (wmbt_overlay_check(&options, &failure)) {
    wmbt_overlay_use(&options);
    read_environment();
    for (size_t i = is_alone ? 1 : 0; i < count; i += 1) MUST(wmbt_overlay_hides(lines[i]));
    wmbt_overlay_use(NULL);
  }
  if (count > 0 && wmbt_settings_token(lines[0], &settings, &failure)) {
    MUST(strcmp(settings.token, lines[0]) == 0);
  }
  environ = before;
}

static void read_token_file(const char *text, size_t length) {
  static char variable[sizeof file_path + 20];
  char *lines[2] = {variable, NULL}, **const before = environ;
  write_file(text, length);
  (void)snprintf(variable, sizeof variable, "WMBT_KV_TOKEN_FILE=%s", file_path);
  environ = lines;
  read_environment();
  environ = before;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0 || size > text_max) return 0;
  char *text = malloc(size);
  if (text == NULL) return 0;
  (void)memcpy(text, data + 1, size - 1);
  text[size - 1] = '\0';
  switch (data[0]) {
    case 'A': read_announcement(text, size - 1); break;
    case 'E': read_endpoint(text); break;
    case 'H': read_hashes(text); break;
    case 'N': read_namespace(text); break;
    case 'P': read_path(text); break;
    case 'S': read_settings(text); break;
    case 'T': read_token_file(text, size - 1); break;
    default: break;
  }
  free(text);
  return 0;
}
