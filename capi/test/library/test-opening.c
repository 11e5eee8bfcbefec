/* What opening a handle says of the environment and of addresses. The environment is that of a daemon to begin with. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* Opens with a variable set in addition, and checks what is said. */
static void refuses(const char *name, const char *value, const char *message) {
  char *before = getenv(name) == NULL ? NULL : strdup(getenv(name));
  (void)setenv(name, value, 1);
  wmbt_kv_handle_t *handle = wmbt_kv_init_from_env();
  CHECK(handle == NULL, "%s=%s is taken", name, value);
  check_text(wmbt_kv_last_error(), message, name);
  wmbt_kv_free(handle);
  if (before == NULL) {
    (void)unsetenv(name);
  } else {
    (void)setenv(name, before, 1);
  }
  free(before);
}

static void wrong_values(void) {
  refuses("WMBT_KV_LOOKUP_DEADLINE_MS", "soon", "WMBT_KV_LOOKUP_DEADLINE_MS is \"soon\"; accepted: a whole number");
  refuses("WMBT_KV_LOOKUP_DEADLINE_MS", "-1", "WMBT_KV_LOOKUP_DEADLINE_MS is \"-1\"");
  refuses("WMBT_KV_LOAD_DEADLINE_MS", "0", "WMBT_KV_LOAD_DEADLINE_MS is \"0\"; accepted: 1 to 2147483647");
  refuses("WMBT_KV_LOAD_DEADLINE_MS", "99999999999999999999", "WMBT_KV_LOAD_DEADLINE_MS");
  refuses("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", "1s", "WMBT_KV_REMOTE_CALL_TIMEOUT_MS is \"1s\"");
  refuses("WMBT_KV_PUT_DURABLE", "maybe", "WMBT_KV_PUT_DURABLE is \"maybe\"; accepted: 1, true, yes, on, 0");
  refuses("WMBT_KV_NAMESPACE", "\xff", "WMBT_KV_NAMESPACE is ");
  refuses("WMBT_KV_TOKEN_FILE", "relative", "WMBT_KV_TOKEN_FILE is \"relative\"; accepted: an absolute path");
  refuses("WMBT_KV_TOKEN_FILE", "/nonexistent", "WMBT_KV_TOKEN_FILE: the token file /nonexistent cannot be read");
  refuses("WMBT_KV_TOKEN_FILE", "/dev/null", "it must hold one token");
  refuses("WMBT_KV_TOKEN_FILE", "/proc/self/status", "it must hold one token");
  refuses("WMBT_KV_TOKEN_FILE", "/dev/zero", "cannot be read: File too large");
  refuses("WMBT_KV_REMOTE_PREFIX", "a/b", "WMBT_KV_REMOTE_PREFIX is \"a/b\"; accepted: 1 to 64 letters");
  refuses("WMBT_KV_REMOTE_PREFIX", "..", "WMBT_KV_REMOTE_PREFIX is \"..\"");
}

static void prefix_beats_address(void) {
  /* The socket of that prefix is not there; the address, if it is asked, is no address at all. */
  (void)setenv("WMBT_KV_TCP_ADDR", "no address", 1);
  refuses("WMBT_KV_REMOTE_PREFIX", "nobody", "RemoteKvStoreClient::connect(nobody): ");
  (void)setenv("WMBT_KV_HTTP_ADDR", "127.0.0.1:1", 1);
  refuses("WMBT_KV_REMOTE_PREFIX", "", "TcpKvClient::connect(no address): accepted: host:port");
  (void)setenv("WMBT_KV_TCP_ADDR", "", 1);
  (void)setenv("WMBT_KV_REMOTE_PREFIX", "", 1);
  refuses("WMBT_KV_HTTP_ADDR", "no address", "HttpKvClient::connect(no address): accepted: host:port");
  (void)setenv("WMBT_KV_HTTP_ADDR", "", 1);
  refuses("WMBT_KV_NODE", "/no/such/node", "embedded store: WMBT_KV_NODE: there is no program /no/such/node");
  refuses("WMBT_KV_STORE", "/no/such/store", "embedded store: WMBT_KV_STORE: there is no file /no/such/store");
}

static void wrong_addresses(void) {
  static const char *const wrong[] = {"",          "nowhere",     ":1",       "a:",        "a:b",       "a:0",
                                      "a:65536",   "a:1:2",       "a b:1",    "[::1:1",    "[]:1",      "http://a:1",
                                      "a:0000001", "[::1]x:9000", "[::1]9000"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i += 1) {
    CHECK(wmbt_kv_open_tcp(wrong[i]) == NULL, "\"%s\" is taken", wrong[i]);
    check_text(wmbt_kv_last_error(), "accepted: host:port", wrong[i]);
    check_text(wmbt_kv_last_error(), "TcpKvClient::connect(", wrong[i]);
    CHECK(wmbt_kv_open_http(wrong[i]) == NULL, "\"%s\" is taken for HTTP", wrong[i]);
    check_text(wmbt_kv_last_error(), "accepted: host:port", wrong[i]);
    check_text(wmbt_kv_last_error(), "HttpKvClient::connect(", wrong[i]);
  }
  CHECK(wmbt_kv_open_tcp("https://127.0.0.1:1") == NULL, "HTTP is taken for frames");
  check_text(wmbt_kv_last_error(), "accepted: host:port, or tls://host:port", "another scheme");
  CHECK(wmbt_kv_open_tcp(NULL) == NULL && wmbt_kv_open_http(NULL) == NULL, "NULL is taken");
  check_text(wmbt_kv_last_error(), "wmbt_kv_open_http: addr is NULL", "NULL");
  CHECK(wmbt_kv_open_tcp("\xff:1") == NULL, "no text is taken");
  check_text(wmbt_kv_last_error(), "wmbt_kv_open_tcp: addr not utf-8", "no text");
  CHECK(wmbt_kv_open_http("\xff:1") == NULL, "no text is taken");
  check_text(wmbt_kv_last_error(), "wmbt_kv_open_http: addr not utf-8", "no text");
}

/* What is asked for by TLS is never done in the clear. */
static void tls_or_nothing(void) {
  CHECK(wmbt_kv_open_tcp("tls://127.0.0.1:1") == NULL, "port 1 is opened");
  check_text(wmbt_kv_last_error(), "TcpKvClient::connect(tls://127.0.0.1:1): unavailable: ", "nobody listens");
  (void)setenv("WMBT_KV_TLS_CA_FILE", "/some/ca.pem", 1);
  CHECK(wmbt_kv_open_http("127.0.0.1:1") == NULL, "what asks for TLS is opened in the clear");
  check_text(wmbt_kv_last_error(), "HttpKvClient::connect(127.0.0.1:1): invalid: file of certificates /some/ca.pem",
             "certificates that are not there");
  (void)unsetenv("WMBT_KV_TLS_CA_FILE");
  const char *address = getenv("WMBT_TEST_TCP");
  if (address == NULL) return;
  char text[64];
  (void)snprintf(text, sizeof text, "tls://%s", address);
  CHECK(wmbt_kv_open_tcp(text) == NULL, "a daemon in the clear is opened by TLS");
  check_text(wmbt_kv_last_error(), "): unavailable: ", "a daemon in the clear");
  (void)setenv("WMBT_KV_NEAR_CACHE_BYTES", "much", 1);
  CHECK(wmbt_kv_open_tcp(address) == NULL, "a near-cache of much is opened");
  check_text(wmbt_kv_last_error(), "WMBT_KV_NEAR_CACHE_BYTES is \"much\"", "a near-cache of much");
  (void)unsetenv("WMBT_KV_NEAR_CACHE_BYTES");
  wmbt_kv_open_t options = WMBT_KV_OPEN_INIT;
  options.tcp_addr = text;
  options.token = "secret";
  CHECK(wmbt_kv_open(&options) == NULL, "a token of options goes to another process");
  check_text(wmbt_kv_last_error(), "options->token is not taken with TLS or a near-cache", "a token of options");
}

/* Opens as a user who has no directory for sockets but in the temporary one; gives whether it is refused for `text`. */
static bool is_refused_in(const char *temporary, const char *text) {
  (void)unsetenv("WMBT_KV_RUNTIME_DIR");
  (void)unsetenv("XDG_RUNTIME_DIR");
  (void)setenv("TMPDIR", temporary, 1);
  (void)setenv("WMBT_KV_REMOTE_PREFIX", "nobody", 1);
  const bool is_open = wmbt_kv_init_from_env() != NULL;
  const char *said = wmbt_kv_last_error();
  const bool is_refused = !is_open && said != NULL && strstr(said, text) != NULL;
  if (!is_refused) fprintf(stderr, "instead of %s: %s\n", text, said == NULL ? "opened" : said);
  return is_refused;
}

/* In a child, which may become another user than root, whose directory is elsewhere. */
static int open_in_a_temporary_directory(char *temporary, uid_t user) {
  char path[128];
  (void)snprintf(path, sizeof path, "%s/wombatkv-%u", temporary, (unsigned)user);
  if (chmod(temporary, 0755) != 0 || mkdir(path, 0700) != 0) return 2;
  if (getuid() == 0 && (chown(path, user, (gid_t)-1) != 0 || setuid(user) != 0)) return 3;
  int status = is_refused_in(temporary, "the daemon cannot be reached") ? 0 : 4;
  if (chmod(path, 0777) != 0) return 5;
  if (!is_refused_in(temporary, "is not a directory of this user's alone")) status |= 8;
  return status;
}

static void directories_of_others(void) {
  enum { another_user = 65534 };
  const uid_t user = getuid() == 0 ? another_user : getuid();
  char temporary[] = "/tmp/wombatkv-opening-XXXXXX", path[128];
  if (!CHECK(mkdtemp(temporary) != NULL, "no directory: %s", strerror(errno))) return;
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) _exit(open_in_a_temporary_directory(temporary, user));
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(pid > 0 && status == 0, "it ends with %x: 4 its own is refused, 8 that of all is taken", status >> 8);
  (void)snprintf(path, sizeof path, "%s/wombatkv-%u", temporary, (unsigned)user);
  CHECK(rmdir(path) == 0 && rmdir(temporary) == 0, "%s: %s", path, strerror(errno));
}

static void nobody_there(void) {
  const int64_t began = now_ms();
  CHECK(wmbt_kv_open_tcp("127.0.0.1:1") == NULL, "port 1 is opened");
  check_text(wmbt_kv_last_error(), "TcpKvClient::connect(127.0.0.1:1): unavailable: ", "nobody listens");
  CHECK(wmbt_kv_open_http("127.0.0.1:1") == NULL, "port 1 is opened by HTTP");
  check_text(wmbt_kv_last_error(), "HttpKvClient::connect(127.0.0.1:1): unavailable: ", "nobody listens");
  CHECK(wmbt_kv_open_tcp("no-such-host.invalid:1") == NULL, "a name that cannot be is opened");
  check_text(wmbt_kv_last_error(), "unavailable: the name no-such-host.invalid", "no such name");
  CHECK(now_ms() - began < 11000, "it took %lld ms", (long long)(now_ms() - began));
}

/* Where the daemon of the test listens, if it does, under the name of this host. */
static bool name_loopback(const char *variable, char text[64]) {
  const char *address = getenv(variable);
  if (address != NULL) (void)snprintf(text, 64, "localhost%s", strrchr(address, ':'));
  return address != NULL;
}

static void names_of_loopback(void) {
  char text[64];
  if (!name_loopback("WMBT_TEST_TCP", text)) return;
  wmbt_kv_handle_t *handle = wmbt_kv_open_tcp(text);
  CHECK(handle != NULL, "%s: %s", text, wmbt_kv_last_error());
  CHECK(handle == NULL || wmbt_kv_last_error() == NULL, "an error after opening");
  wmbt_kv_free(handle);
  CHECK(wmbt_kv_open_http(text) == NULL, "frames are taken for HTTP");
  check_text(wmbt_kv_last_error(), "HttpKvClient::connect(", "a daemon that speaks frames");
  if (!name_loopback("WMBT_TEST_HTTP", text)) return;
  handle = wmbt_kv_open_http(text);
  CHECK(handle != NULL, "%s: %s", text, wmbt_kv_last_error());
  CHECK(handle == NULL || wmbt_kv_last_error() == NULL, "an error after opening by HTTP");
  wmbt_kv_free(handle);
}

const struct test_case opening_tests[] = {
    {"a value that cannot be read is refused by its variable's name", wrong_values},
    {"what is no address is refused", wrong_addresses},
    {"where TLS is asked for nothing goes in the clear", tls_or_nothing},
    {"a directory of sockets that others may have made in a temporary one is refused", directories_of_others},
    {"an address where nobody listens is refused soon", nobody_there},
    {"a host may be a name", names_of_loopback},
    {"the prefix beats the address, and without both a store of its own is started", prefix_beats_address},
    {NULL, NULL},
};

/* Variables that are none, and that do nothing, are those of odd-settings.test.ts, which reads what is said of them. */
static void odd_settings(void) {
  wmbt_kv_free(open_handle());
  wmbt_kv_free(open_handle());
  static const char *const entries[] = {"WMBT_KV_LOKUP_DEADLINE_MS=900", "WMBT_KV_LOOKUP_DEADLINE_MS=900", NULL};
  wmbt_kv_open_t options = WMBT_KV_OPEN_INIT;
  options.settings = entries;
  wmbt_kv_handle_t *handle = wmbt_kv_open(&options);
  CHECK(handle != NULL, "a name that is none is refused: %s", wmbt_kv_last_error());
  wmbt_kv_free(handle);
}

const struct test_case odd_setting_tests[] = {
    {"a handle is opened whatever names are set beside those that count", odd_settings},
    {NULL, NULL},
};
