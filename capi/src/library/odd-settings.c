#include "odd-settings.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "failure.h"
#include "known-settings.h"
#include "overlay.h"

extern char **environ;

static const char prefix[] = "WMBT_KV_";

enum { line_max = 2048, shown_max = 128 };

static bool is_ours(const char *name) { return strncmp(name, prefix, sizeof prefix - 1) == 0; }

/* The name of an entry `NAME=value`, as far as it is compared; false where there is nothing behind `=`. */
static bool name_of(const char *entry, char name[WMBT_SETTING_NAME_MAX + 1]) {
  const size_t length = strcspn(entry, "=");
  if (entry[length] == '\0' || entry[length + 1] == '\0') return false;
  (void)snprintf(name, WMBT_SETTING_NAME_MAX + 1, "%.*s", (int)length, entry);
  return true;
}

static const struct wmbt_known_setting *find(const char *name) {
  const struct wmbt_known_setting *known = wmbt_known_settings;
  while (known->name != NULL && strcmp(known->name, name) != 0) known += 1;
  return known->name == NULL ? NULL : known;
}

static unsigned least(unsigned one, unsigned other) { return one < other ? one : other; }

/* The number of letters to insert, delete or replace to turn one text into the other, which are short. */
static unsigned distance(const char *from, const char *to) {
  uint8_t row[WMBT_SETTING_NAME_MAX + 1];
  const size_t length = strlen(to);
  for (size_t j = 0; j <= length; j += 1) row[j] = (uint8_t)j;
  for (size_t i = 0; from[i] != '\0'; i += 1) {
    unsigned diagonal = row[0];
    row[0] = (uint8_t)(i + 1);
    for (size_t j = 0; j < length; j += 1) {
      const unsigned replaced = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = (uint8_t)least(replaced, least(diagonal, row[j]) + 1);
    }
  }
  return row[length];
}

/* The known name that differs from it in the fewest letters; the first one among equals. */
static const char *nearest(const char *name) {
  const char *found = prefix;
  unsigned fewest = UINT8_MAX;
  for (const struct wmbt_known_setting *known = wmbt_known_settings; known->name != NULL; known += 1) {
    const unsigned letters = is_ours(known->name) ? distance(name, known->name) : UINT8_MAX;
    if (letters < fewest) found = known->name;
    fewest = least(letters, fewest);
  }
  return found;
}

/* As it is where it is a word, else in quotes: it may hold what a terminal obeys. */
static void tell_unknown_name(const char *name) {
  static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
  char quoted[shown_max];
  const bool is_word = name[strspn(name, word)] == '\0';
  if (!is_word) wmbt_quote(quoted, sizeof quoted, name);
  fprintf(stderr, "WombatKV: unknown setting %s (the nearest known name is %s)\n", is_word ? name : quoted,
          nearest(name));
}

static void tell_unknown(const char *const *entries) {
  unsigned count = 0;
  char name[WMBT_SETTING_NAME_MAX + 1];
  for (; *entries != NULL; entries += 1) {
    if (!is_ours(*entries) || !name_of(*entries, name) || find(name) != NULL) continue;
    count += 1;
    if (count <= WMBT_UNKNOWN_NAMES_MAX) tell_unknown_name(name);
  }
  if (count <= WMBT_UNKNOWN_NAMES_MAX) return;
  fprintf(stderr, "WombatKV: %u more unknown settings\n", count - WMBT_UNKNOWN_NAMES_MAX);
}

static void tell_idle(const char *const *entries) {
  char line[line_max], name[WMBT_SETTING_NAME_MAX + 1];
  size_t length = 0;
  for (; *entries != NULL; entries += 1) {
    const struct wmbt_known_setting *known = name_of(*entries, name) ? find(name) : NULL;
    if (known == NULL || !known->is_idle || length >= sizeof line) continue;
    const int written = snprintf(line + length, sizeof line - length, "%s%s%s", length == 0 ? "" : ", ", name,
                                 known->is_of_engine ? " (the engine reads it)" : "");
    length += written < 0 ? 0 : (size_t)written;
  }
  if (length > 0) fprintf(stderr, "WombatKV: set, but without effect in this version: %s\n", line);
}

static void tell(const char *const *entries) {
  if (entries == NULL) return;
  tell_unknown(entries);
  tell_idle(entries);
}

void wmbt_tell_odd_settings(void) {
  static atomic_flag is_told = ATOMIC_FLAG_INIT;
  tell(wmbt_overlay_entries());
  if (!wmbt_overlay_is_alone() && !atomic_flag_test_and_set(&is_told)) tell((const char *const *)environ);
}
