/* Checks of text that comes from outside. */
#ifndef WMBT_TEXT_H
#define WMBT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* True for well-formed UTF-8: no stray, cut, overlong or surrogate sequence, nothing above U+10FFFF. */
bool wmbt_is_utf8(const char *text, size_t length);

#endif
