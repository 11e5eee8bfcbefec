/*
 * The JSON that a daemon answers with: one object, which is checked from its first byte to its last before anything of
 * it is believed. Nothing is copied but strings that are asked for.
 */
#ifndef WMBT_JSON_H
#define WMBT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value, where it lies in a text that was checked. */
struct wmbt_json {
  const char *text;
  size_t length;
};

/* False when the text is not one JSON object in UTF-8, or is nested deeper than any answer. */
bool wmbt_json_object(const char *text, size_t length, struct wmbt_json *object);

/* The member of that name; false when there is none, or the value is no object. */
bool wmbt_json_member(const struct wmbt_json *object, const char *name, struct wmbt_json *value);

/* A whole number that is not negative and that every reader of JSON takes for the same. */
bool wmbt_json_count(const struct wmbt_json *value, uint64_t *count);

/* True when the value is exactly this word: `true`, `null`. */
bool wmbt_json_is_word(const struct wmbt_json *value, const char *word);

/* The string in UTF-8, as far as it fits, and a NUL; a NUL in it becomes a space. False when it is no string. */
bool wmbt_json_string(const struct wmbt_json *value, char *into, size_t size);

/*
 * The elements of an array, one after another: `at` is 0 at first. False at the end, and when the value is no array.
 */
bool wmbt_json_next(const struct wmbt_json *array, size_t *at, struct wmbt_json *element);

#endif
