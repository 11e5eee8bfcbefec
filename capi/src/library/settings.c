#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay.h"
#include "text.h"

enum { shown_max = 140 };

/* The longest deadline that is accepted. */
static const int64_t deadline_ms_max = 2147483647;

const char *wmbt_settings_value(const char *name) {
  const char *value = wmbt_overlay_value(name);
  return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool refuse(const char *name, const char *value, const char *accepted, struct wmbt_failure *failure) {
  char shown[shown_max];
  wmbt_quote(shown, sizeof shown, value);
  return wmbt_fail(failure, wmbt_invalid, "%s is %s; accepted: %s", name, shown, accepted);
}

/* The value without white space around it, as far as it fits; false when it does not. */
static bool trimmed(const char *value, char *into, size_t size) {
  while (isspace((unsigned char)*value)) value += 1;
  size_t length = strlen(value);
  while (length > 0 && isspace((unsigned char)value[length - 1])) length -= 1;
  if (length >= size) return false;
  (void)memcpy(into, value, length);
  into[length] = '\0';
  return true;
}

static bool read_milliseconds(const char *name, int64_t usual, int64_t *out, struct wmbt_failure *failure) {
  const char *value = wmbt_settings_value(name);
  *out = usual;
  if (value == NULL) return true;
  char digits[17];
  const bool fits = trimmed(value, digits, sizeof digits) && digits[0] != '\0';
  if (!fits || digits[strspn(digits, "0123456789")] != '\0') {
    return refuse(name, value, "a whole number of milliseconds", failure);
  }
  *out = strtoll(digits, NULL, 10);
  if (*out >= 1 && *out <= deadline_ms_max) return true;
  return refuse(name, value, "1 to 2147483647 milliseconds", failure);
}

static bool read_boolean(const char *name, bool *out, struct wmbt_failure *failure) {
  static const char *const words[2][4] = {{"0", "false", "no", "off"}, {"1", "true", "yes", "on"}};
  const char *value = wmbt_settings_value(name);
  *out = false;
  if (value == NULL) return true;
  char word[8];
  for (unsigned i = 0; trimmed(value, word, sizeof word) && i < 8; i += 1) {
    *out = i >= 4;
    if (strcasecmp(word, words[i / 4][i % 4]) == 0) return true;
  }
  return refuse(name, value, "1, true, yes, on, 0, false, no, off", failure);
}

static bool read_namespace(char *into, struct wmbt_failure *failure) {
  static const char name[] = "WMBT_KV_NAMESPACE";
  const char *value = wmbt_settings_value(name);
  if (value == NULL) value = "default";
  const size_t length = strlen(value);
  if (length > WMBT_NAMESPACE_BYTES_MAX || !wmbt_is_utf8(value, length)) {
    return refuse(name, value, "1 to 80 bytes of UTF-8", failure);
  }
  (void)memcpy(into, value, length + 1);
  return true;
}

/* The user's home directory: as the environment says, else as the system does. */
static bool home_directory(char *into, size_t size) {
  const char *home = wmbt_settings_value("HOME");
  struct passwd entry, *found = NULL;
  char memory[2048];
  if (home == NULL && getpwuid_r(getuid(), &entry, memory, sizeof memory, &found) == 0 && found != NULL) {
    home = entry.pw_dir;
  }
  if (home == NULL) return false;
  const int written = snprintf(into, size, "%s", home);
  return written >= 0 && (size_t)written < size;
}

bool wmbt_settings_path(const char *name, const char *value, char path[wmbt_path_max], struct wmbt_failure *failure) {
  char home[wmbt_path_max] = "";
  const bool is_of_home = value[0] == '~' && (value[1] == '/' || value[1] == '\0');
  bool is_sound = is_of_home ? home_directory(home, sizeof home) : value[0] == '/';
  const int written = snprintf(path, wmbt_path_max, "%s%s", home, is_of_home ? value + 1 : value);
  is_sound = is_sound && written >= 0 && written < wmbt_path_max && path[0] == '/';
  if (!is_sound) return refuse(name, value, "an absolute path, or one that begins with ~/", failure);
  for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length -= 1) path[length - 1] = '\0';
  return true;
}

/* Reads a file of at most `size` - 1 bytes as text; false with errno. */
static bool read_small_file(const char *path, char *into, size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  size_t length = 0;
  ssize_t got = 1;
  while (got > 0 && length < size) {
    got = read(fd, into + length, size - length);
    if (got > 0) length += (size_t)got;
    if (got < 0 && errno == EINTR) got = 1;
  }
  const int error = got < 0 ? errno : EFBIG;
  (void)close(fd);
  errno = error;
  if (got < 0 || length == size) return false;
  into[length] = '\0';
  return true;
}

static bool is_token(const char *token) {
  for (; *token != '\0'; token += 1) {
    if (*token < 0x21 || *token > 0x7e) return false;
  }
  return true;
}

/* The first word of the one line that is not empty and no comment, as in a daemon's file of tokens. */
static bool find_token(char *text, char token[WMBT_TOKEN_BYTES_MAX + 1]) {
  char *rest = NULL;
  unsigned count = 0;
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    line += strspn(line, " \t\r");
    const size_t length = strcspn(line, " \t\r");
    if (length == 0 || line[0] == '#') continue;
    count += 1;
    if (length > WMBT_TOKEN_BYTES_MAX) return false;
    (void)memcpy(token, line, length);
    token[length] = '\0';
  }
  return count == 1 && is_token(token);
}

bool wmbt_settings_token(const char *token, struct wmbt_settings *settings, struct wmbt_failure *failure) {
  const size_t length = strlen(token);
  if (length > WMBT_TOKEN_BYTES_MAX || !is_token(token)) {
    return wmbt_fail(failure, wmbt_invalid, "options->token has %zu characters; accepted: at most %d ASCII letters, "
                     "digits and signs", length, WMBT_TOKEN_BYTES_MAX);
  }
  (void)memcpy(settings->token, token, length + 1);
  settings->is_token_given = true;
  return true;
}

static bool read_token(char token[WMBT_TOKEN_BYTES_MAX + 1], struct wmbt_failure *failure) {
  static const char name[] = "WMBT_KV_TOKEN_FILE";
  const char *value = wmbt_settings_value(name);
  token[0] = '\0';
  if (value == NULL) return true;
  char path[wmbt_path_max];
  if (!wmbt_settings_path(name, value, path, failure)) return false;
  char *text = malloc(WMBT_TOKEN_FILE_BYTES_MAX + 1);
  if (text == NULL) return wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for a token file");
  const bool is_read = read_small_file(path, text, WMBT_TOKEN_FILE_BYTES_MAX + 1);
  const int error = errno;
  const bool is_found = is_read && find_token(text, token);
  free(text);
  if (is_found) return true;
  char why[128] = "it must hold one token, of at most 512 ASCII letters, digits and signs";
  if (!is_read && strerror_r(error, why, sizeof why) != 0) why[0] = '\0';
  return wmbt_fail(failure, wmbt_invalid, "%s: the token file %s cannot be read: %s", name, path, why);
}

bool wmbt_settings_asks_for_near_cache(void) {
  const char *value = wmbt_settings_value("WMBT_KV_NEAR_CACHE_BYTES");
  if (value == NULL) return false;
  const size_t zeros = strspn(value, " \t0");
  /* Zeros, and behind them a unit or nothing. */
  return zeros == 0 || strspn(value + zeros, "BKMGTibkmgt \t") != strlen(value + zeros);
}

static int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

bool wmbt_settings_read(struct wmbt_settings *settings, struct wmbt_failure *failure) {
  int64_t lookup_ms, load_ms, cap_ms;
  struct wmbt_call_settings *calls = &settings->calls;
  settings->is_token_given = false;
  if (!read_namespace(settings->ns, failure)) return false;
  if (!read_milliseconds("WMBT_KV_LOOKUP_DEADLINE_MS", 250, &lookup_ms, failure)) return false;
  if (!read_milliseconds("WMBT_KV_LOAD_DEADLINE_MS", 10000, &load_ms, failure)) return false;
  if (!read_milliseconds("WMBT_KV_REMOTE_CALL_TIMEOUT_MS", 30000, &cap_ms, failure)) return false;
  if (!read_boolean("WMBT_KV_PUT_DURABLE", &calls->is_durable, failure)) return false;
  calls->lookup_ms = least(lookup_ms, cap_ms);
  calls->load_ms = least(load_ms, cap_ms);
  calls->save_ms = least(WMBT_SAVE_DEADLINE_MS, cap_ms);
  calls->tail_ms = least(WMBT_TAIL_DEADLINE_MS, cap_ms);
  calls->delete_ms = least(WMBT_DELETE_DEADLINE_MS, cap_ms);
  calls->connect_ms = least(WMBT_CONNECT_MS, cap_ms);
  calls->most_ms = cap_ms;
  return read_token(settings->token, failure);
}

enum wmbt_door wmbt_settings_door(const char **value) {
  static const char *const names[3] = {"WMBT_KV_REMOTE_PREFIX", "WMBT_KV_TCP_ADDR", "WMBT_KV_HTTP_ADDR"};
  for (unsigned i = 0; i < 3; i += 1) {
    *value = wmbt_settings_value(names[i]);
    if (*value != NULL) return (enum wmbt_door)i;
  }
  return wmbt_door_embedded;
}

/* That nobody else has made the directory, as anybody may in a temporary one: he would be shown a token. */
static bool check_own(const char *path, struct wmbt_failure *failure) {
  struct stat status;
  if (lstat(path, &status) != 0) return true;
  if (S_ISDIR(status.st_mode) && status.st_uid == getuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0) return true;
  return wmbt_fail(failure, wmbt_invalid, "%s is not a directory of this user's alone; remove it, or set "
                   "WMBT_KV_RUNTIME_DIR to one that is", path);
}

/* The directory of the sockets; daemons and clients of one user find the same. */
static bool runtime_directory(char path[wmbt_path_max], struct wmbt_failure *failure) {
  const char *set = wmbt_settings_value("WMBT_KV_RUNTIME_DIR");
  if (set != NULL) return wmbt_settings_path("WMBT_KV_RUNTIME_DIR", set, path, failure);
  const char *session = wmbt_settings_value("XDG_RUNTIME_DIR");
  char parent[wmbt_path_max];
  if (session != NULL && session[0] == '/') {
    if (!wmbt_settings_path("XDG_RUNTIME_DIR", session, parent, failure)) return false;
    return snprintf(path, wmbt_path_max, "%s/wombatkv", parent) < wmbt_path_max
               ? true
               : refuse("XDG_RUNTIME_DIR", session, "a shorter path", failure);
  }
  static const char common[] = "/run/wombatkv";
  struct stat status;
  if (getuid() == 0 || (stat(common, &status) == 0 && status.st_uid == getuid())) {
    (void)memcpy(path, common, sizeof common);
    return true;
  }
  static const char *const names[3] = {"TMPDIR", "TMP", "TEMP"};
  const char *temporary = NULL;
  for (unsigned i = 0; i < 3 && temporary == NULL; i += 1) temporary = wmbt_settings_value(names[i]);
  if (temporary == NULL || temporary[0] != '/') temporary = "/tmp";
  if (!wmbt_settings_path("TMPDIR", temporary, parent, failure)) return false;
  const int written = snprintf(path, wmbt_path_max, "%s/wombatkv-%u", parent, (unsigned)getuid());
  return written < wmbt_path_max ? check_own(path, failure) : refuse("TMPDIR", temporary, "a shorter path", failure);
}

bool wmbt_settings_socket(const char *prefix, char path[wmbt_path_max], struct wmbt_failure *failure) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  const size_t length = strlen(prefix);
  const bool is_dots = strcmp(prefix, ".") == 0 || strcmp(prefix, "..") == 0;
  if (length > 64 || prefix[strspn(prefix, allowed)] != '\0' || is_dots) {
    return refuse("WMBT_KV_REMOTE_PREFIX", prefix, "1 to 64 letters, digits, dots, underscores or hyphens", failure);
  }
  char directory[wmbt_path_max];
  if (!runtime_directory(directory, failure)) return false;
  const int written = snprintf(path, wmbt_path_max, "%s/%s.sock", directory, prefix);
  return written < wmbt_path_max ? true : refuse("WMBT_KV_RUNTIME_DIR", directory, "a shorter path", failure);
}
