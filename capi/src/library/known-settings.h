/* The names of all settings, those of the store and of daemons included. */
#ifndef WMBT_KNOWN_SETTINGS_H
#define WMBT_KNOWN_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

struct wmbt_known_setting {
  const char *name;
  /* It is accepted for the sake of environments that were made for the Rust version, and has no effect. */
  bool is_idle;
  /* The engine reads it itself. */
  bool is_of_engine;
};

/* Ends with one without a name. */
extern const struct wmbt_known_setting wmbt_known_settings[];

#endif
