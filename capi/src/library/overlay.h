/*
 * Settings that a handle is opened with instead of those of the environment. They count for what its thread reads while
 * it opens the handle; afterwards nothing reads settings.
 */
#ifndef WMBT_OVERLAY_H
#define WMBT_OVERLAY_H

#include <stdbool.h>

#include "../../include/wombatkv.h"
#include "failure.h"

/* False with a failure when the options contradict each other, or hold what is no setting. */
bool wmbt_overlay_check(const wmbt_kv_open_t *options, struct wmbt_failure *failure);

/* Checked options, as long as they are used; NULL: the environment alone. */
void wmbt_overlay_use(const wmbt_kv_open_t *options);

/* Whether settings of the environment do not count. */
bool wmbt_overlay_is_alone(void);

/* As getenv(). */
const char *wmbt_overlay_value(const char *name);

/* True when the entry `NAME=value` of the environment does not count. */
bool wmbt_overlay_hides(const char *entry);

/* The entries that count beside those of the environment; NULL: none. */
const char *const *wmbt_overlay_entries(void);

#endif
