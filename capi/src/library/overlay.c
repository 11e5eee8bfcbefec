#include "overlay.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { shown_max = 160 };

static _Thread_local const wmbt_kv_open_t *used;

static const char ns_name[] = "WMBT_KV_NAMESPACE";
static const char *const door_names[3] = {"WMBT_KV_REMOTE_PREFIX", "WMBT_KV_TCP_ADDR", "WMBT_KV_HTTP_ADDR"};

void wmbt_overlay_use(const wmbt_kv_open_t *options) { used = options; }

const char *const *wmbt_overlay_entries(void) { return used == NULL ? NULL : used->settings; }

static bool is_given(const char *text) { return text != NULL && text[0] != '\0'; }

/* What the options say of a daemon by the name of the variable; `is_one` says whether there is such a variable. */
static const char *door_of(const wmbt_kv_open_t *options, const char *name, bool *is_one) {
  const char *const values[3] = {options->remote_prefix, options->tcp_addr, options->http_addr};
  for (unsigned i = 0; i < 3; i += 1) {
    *is_one = strcmp(name, door_names[i]) == 0;
    if (*is_one) return values[i];
  }
  return NULL;
}

static bool names_door(const wmbt_kv_open_t *options) {
  return is_given(options->remote_prefix) || is_given(options->tcp_addr) || is_given(options->http_addr);
}

/* What is a setting of the store, or of its bucket. */
static bool is_setting(const char *name) { return strncmp(name, "WMBT_KV_", 8) == 0 || strncmp(name, "AWS_", 4) == 0; }

/* The entry of the list with the name, which ends at its NUL or at `=`; NULL: none. */
static const char *entry_of(const char *const *entries, const char *name) {
  const size_t length = strcspn(name, "=");
  for (; entries != NULL && *entries != NULL; entries += 1) {
    if (strncmp(*entries, name, length) == 0 && (*entries)[length] == '=') return *entries;
  }
  return NULL;
}

bool wmbt_overlay_is_alone(void) { return used != NULL && (used->flags & WMBT_KV_OPEN_WITHOUT_ENVIRONMENT) != 0; }

const char *wmbt_overlay_value(const char *name) {
  if (used == NULL) return getenv(name);
  bool is_door;
  const char *door = door_of(used, name, &is_door);
  if (is_door && names_door(used)) return door;
  if (is_given(used->ns) && strcmp(name, ns_name) == 0) return used->ns;
  const char *entry = entry_of(used->settings, name);
  if (entry != NULL) return strchr(entry, '=') + 1;
  return wmbt_overlay_is_alone() && is_setting(name) ? NULL : getenv(name);
}

bool wmbt_overlay_hides(const char *entry) {
  if (used == NULL) return false;
  return (wmbt_overlay_is_alone() && is_setting(entry)) || entry_of(used->settings, entry) != NULL;
}

static bool check_settings(const char *const *entries, struct wmbt_failure *failure) {
  for (size_t i = 0; entries != NULL && entries[i] != NULL; i += 1) {
    char shown[shown_max];
    wmbt_quote(shown, sizeof shown, entries[i]);
    if (!is_setting(entries[i]) || strchr(entries[i], '=') == NULL || !wmbt_is_utf8(entries[i], strlen(entries[i]))) {
      return wmbt_fail(failure, wmbt_invalid, "options->settings[%zu] is %s; accepted: WMBT_KV_NAME=value", i, shown);
    }
    if (entry_of(entries, entries[i]) != entries[i]) {
      return wmbt_fail(failure, wmbt_invalid, "options->settings[%zu] is %s, which was said before", i, shown);
    }
  }
  return true;
}

bool wmbt_overlay_check(const wmbt_kv_open_t *options, struct wmbt_failure *failure) {
  const char *const texts[] = {options->remote_prefix, options->tcp_addr, options->http_addr, options->ns,
                               options->token};
  if ((options->flags & ~WMBT_KV_OPEN_WITHOUT_ENVIRONMENT) != 0) {
    return wmbt_fail(failure, wmbt_invalid, "options->flags is %u; accepted: WMBT_KV_OPEN_WITHOUT_ENVIRONMENT or 0",
                     (unsigned)options->flags);
  }
  for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i += 1) {
    if (texts[i] == NULL || wmbt_is_utf8(texts[i], strlen(texts[i]))) continue;
    return wmbt_fail(failure, wmbt_invalid, "options: string contained non-UTF-8 bytes");
  }
  const int doors = is_given(options->remote_prefix) + is_given(options->tcp_addr) + is_given(options->http_addr);
  if (doors > 1) {
    return wmbt_fail(failure, wmbt_invalid, "options name %d daemons; at most one of remote_prefix, tcp_addr and "
                     "http_addr is accepted", doors);
  }
  return check_settings(options->settings, failure);
}
