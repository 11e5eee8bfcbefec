/* For dladdr(). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "program.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay.h"

extern char **environ;

/* What the library installs beside itself. */
static const char store_beside[] = "wombatkv/store.cjs";

/* Where a system finds programs when PATH is not set. */
static const char usual_path[] = "/usr/local/bin:/usr/bin:/bin";

static bool is_file(const char *path, int mode) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, mode) == 0;
}

/* The first program of that name in the directories of PATH. */
static bool search_path(const char *name, char found[wmbt_path_max], struct wmbt_failure *failure) {
  const char *path = getenv("PATH");
  if (path == NULL || path[0] == '\0') path = usual_path;
  for (const char *at = path; at != NULL;) {
    const size_t length = strcspn(at, ":");
    /* Relative ones depend on where the engine stands at the moment. */
    if (at[0] == '/') {
      const int written = snprintf(found, wmbt_path_max, "%.*s/%s", (int)length, at, name);
      if (written > 0 && written < wmbt_path_max && is_file(found, X_OK)) return true;
    }
    at = at[length] == ':' ? at + length + 1 : NULL;
  }
  return wmbt_fail(failure, wmbt_invalid, "no program %s in the directories of PATH (%s); set WMBT_KV_NODE to that of "
                   "Node, version 20 or newer", name, path);
}

static bool find_node(char node[wmbt_path_max], struct wmbt_failure *failure) {
  const char *name = wmbt_settings_value("WMBT_KV_NODE");
  if (name == NULL) return search_path("node", node, failure);
  if (strchr(name, '/') == NULL) return search_path(name, node, failure);
  if (!wmbt_settings_path("WMBT_KV_NODE", name, node, failure)) return false;
  if (is_file(node, X_OK)) return true;
  return wmbt_fail(failure, wmbt_invalid, "WMBT_KV_NODE: there is no program %s", node);
}

/* The directory of the file that this code was loaded from. */
static bool own_directory(char directory[wmbt_path_max]) {
  Dl_info info;
  static const char here = 0;
  if (dladdr(&here, &info) == 0 || info.dli_fname == NULL) return false;
  char *real = realpath(info.dli_fname, NULL);
  const int written = real == NULL ? -1 : snprintf(directory, wmbt_path_max, "%s", real);
  free(real);
  char *slash = written < 0 || written >= wmbt_path_max ? NULL : strrchr(directory, '/');
  if (slash == NULL) return false;
  *slash = '\0';
  return true;
}

static bool find_store(char store[wmbt_path_max], struct wmbt_failure *failure) {
  const char *set = wmbt_settings_value("WMBT_KV_STORE");
  if (set != NULL) {
    if (!wmbt_settings_path("WMBT_KV_STORE", set, store, failure)) return false;
    if (is_file(store, R_OK)) return true;
    return wmbt_fail(failure, wmbt_invalid, "WMBT_KV_STORE: there is no file %s", store);
  }
  char directory[wmbt_path_max];
  if (!own_directory(directory)) (void)memcpy(directory, ".", sizeof ".");
  const int written = snprintf(store, wmbt_path_max, "%s/%s", directory, store_beside);
  if (written > 0 && written < wmbt_path_max && is_file(store, R_OK)) return true;
  return wmbt_fail(failure, wmbt_invalid, "no store program beside the library, at %s/%s; set WMBT_KV_STORE to one",
                   directory, store_beside);
}

/* The value of the variable when the entry `NAME=value` is that of the name. */
static const char *value_in(const char *entry, const char *name) {
  const size_t length = strlen(name);
  return strncmp(entry, name, length) == 0 && entry[length] == '=' ? entry + length + 1 : NULL;
}

static bool is_named(const char *entry, const char *const *names) {
  for (; *names != NULL; names += 1) {
    if (value_in(entry, *names) != NULL) return true;
  }
  return false;
}

/* What a store process does not inherit; each changes Node, or what is loaded into it. */
static const char *const dropped[] = {"NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "LD_PRELOAD", "LD_AUDIT", NULL};

static const char ca_file[] = "WMBT_KV_S3_CA_FILE";

/*
 * Certificates that Node would read at its start, whoever needs them, which takes as long as all the rest. A bucket
 * alone needs them.
 */
static const char *certificates(void) {
  const char *store = wmbt_settings_value("WMBT_KV_OBJECT_STORE");
  const bool is_bucket = store == NULL ? wmbt_settings_value("WMBT_KV_BUCKET") != NULL : strncmp(store, "s3:", 3) == 0;
  if (!is_bucket || wmbt_settings_value(ca_file) != NULL) return NULL;
  return wmbt_settings_value("NODE_EXTRA_CA_CERTS");
}

/* Whether the store inherits the entry; not that of its certificates, which is said anew. */
static bool is_inherited(const char *entry, bool has_certificates) {
  static const char *const replaced[] = {ca_file, NULL};
  return !is_named(entry, dropped) && !wmbt_overlay_hides(entry) && !(has_certificates && is_named(entry, replaced));
}

/* Where entries are copied to. */
struct copy {
  char **entries;
  size_t count;
  char *text;
  size_t bytes;
};

/* An entry, of one part or two. Nothing where there is no room: the environment has grown meanwhile. */
static void add_entry(struct copy *copy, const char *entry, const char *rest) {
  const int length = snprintf(copy->text, copy->bytes, "%s%s", entry, rest);
  if (length < 0 || (size_t)length >= copy->bytes) return;
  copy->entries[copy->count++] = copy->text;
  copy->text += length + 1;
  copy->bytes -= (size_t)length + 1;
}

static void count_entries(const char *const *entries, size_t *count, size_t *bytes) {
  for (; entries != NULL && *entries != NULL; entries += 1) {
    *count += 1;
    *bytes += strlen(*entries) + 1;
  }
}

static char **copy_environment(void) {
  const char *path = certificates();
  const char *const *own = wmbt_overlay_entries();
  size_t count = 2, bytes = path == NULL ? 0 : sizeof ca_file + strlen(path) + 1, inherited = 0;
  count_entries((const char *const *)environ, &inherited, &bytes);
  count_entries(own, &count, &bytes);
  char **entries = malloc((count + inherited) * sizeof *entries + bytes);
  if (entries == NULL) return NULL;
  struct copy copy = {entries, 0, (char *)(entries + count + inherited), bytes};
  for (size_t i = 0; i < inherited && environ[i] != NULL; i += 1) {
    if (is_inherited(environ[i], path != NULL)) add_entry(&copy, environ[i], "");
  }
  for (; own != NULL && *own != NULL; own += 1) add_entry(&copy, *own, "");
  if (path != NULL) add_entry(&copy, "WMBT_KV_S3_CA_FILE=", path);
  entries[copy.count] = NULL;
  return entries;
}

bool wmbt_program_find(struct wmbt_program *program, struct wmbt_failure *failure) {
  program->environment = NULL;
  if (!find_node(program->node, failure) || !find_store(program->store, failure)) return false;
  program->environment = copy_environment();
  if (program->environment != NULL) return true;
  return wmbt_fail(failure, wmbt_unavailable, "unavailable: no memory for an environment");
}

void wmbt_program_free(struct wmbt_program *program) {
  free(program->environment);
  program->environment = NULL;
}

/* Whether a store depends on the variable. */
static bool matters(const char *entry) {
  static const char *const places[] = {"HOME", "XDG_RUNTIME_DIR", "TMPDIR", "TMP", "TEMP", NULL};
  /* Clients say these with each call. */
  static const char *const of_clients[] = {"WMBT_KV_NAMESPACE",        "WMBT_KV_LOOKUP_DEADLINE_MS",
                                           "WMBT_KV_LOAD_DEADLINE_MS", "WMBT_KV_REMOTE_CALL_TIMEOUT_MS",
                                           "WMBT_KV_PUT_DURABLE",      "WMBT_KV_TOKEN_FILE",
                                           NULL};
  const bool is_setting = strncmp(entry, "WMBT_KV_", 8) == 0 || strncmp(entry, "AWS_", 4) == 0;
  return (is_setting && !is_named(entry, of_clients)) || is_named(entry, places);
}

/* Whether every variable of the one that matters stands in the other as it is. */
static bool is_within(char *const *one, char *const *other) {
  for (; *one != NULL; one += 1) {
    if (!matters(*one)) continue;
    char *const *found = other;
    while (*found != NULL && strcmp(*found, *one) != 0) found += 1;
    if (*found == NULL) return false;
  }
  return true;
}

bool wmbt_program_is_same(const struct wmbt_program *one, const struct wmbt_program *other) {
  return strcmp(one->node, other->node) == 0 && strcmp(one->store, other->store) == 0 &&
         is_within(one->environment, other->environment) && is_within(other->environment, one->environment);
}
