/*
 * Texts that come from files and the environment: the file that says where a daemon shares its memory, an address, hex
 * digits, a namespace, a value that is a path.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/hex.h"
#include "../../src/library/address.h"
#include "../../src/library/arguments.h"
#include "../../src/library/settings.h"
#include "../../src/library/shared-files.h"
#include "fuzz.h"

enum { text_max = 8192, room = 64 };

static char file_path[64];

static void remove_file(void) { (void)unlink(file_path); }

static void write_file(const uint8_t *data, size_t size) {
  if (file_path[0] == '\0') {
    (void)snprintf(file_path, sizeof file_path, "/tmp/wombatkv-fuzz-%d.shm", (int)getpid());
    (void)atexit(remove_file);
  }
  const int fd = open(file_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, data, size) != (ssize_t)size) exit(2);
  (void)close(fd);
}

/* A path of one line, which ends in the room that there is for it. */
static void read_announcement(const uint8_t *data, size_t size) {
  /* Beside its end lies memory that no sanitizer lets it write to. */
  char *path = malloc(room);
  if (path == NULL) return;
  write_file(data, size);
  if (wmbt_shared_announced(file_path, path, room)) {
    const size_t length = strnlen(path, room);
    MUST(length > 0 && length < room && path[0] == '/');
    MUST(memchr(path, '\n', length) == NULL && memcmp(path, data, length) == 0);
  }
  free(path);
}

static void read_text(const char *text) {
  struct wmbt_endpoint endpoint;
  struct wmbt_failure failure;
  uint8_t digest[wmbt_digest_bytes];
  const char *ns = NULL;
  static char path[wmbt_path_max];
  if (wmbt_endpoint_parse(text, &endpoint)) {
    MUST(memchr(endpoint.host, '\0', sizeof endpoint.host) != NULL);
    MUST(memchr(endpoint.port, '\0', sizeof endpoint.port) != NULL);
    (void)wmbt_endpoint_is_numeric(&endpoint);
  }
  if (strlen(text) >= wmbt_digest_digits) (void)wmbt_hex_parse(text, digest);
  if (wmbt_check_namespace(text, "own", &ns, &failure)) MUST(strlen(ns) <= WMBT_NAMESPACE_BYTES_MAX);
  if (wmbt_settings_path("WMBT_KV_PUFFER_DIR", text, path, &failure)) {
    MUST(path[0] == '/' && memchr(path, '\0', sizeof path) != NULL);
  } else {
    MUST(memchr(failure.text, '\0', sizeof failure.text) != NULL);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static char text[text_max + 1];
  if (size > text_max) return 0;
  read_announcement(data, size);
  (void)memcpy(text, data, size);
  text[size] = '\0';
  read_text(text);
  return 0;
}
