/* JSON from outside (a chunk of a stream, an error's body) as jansson's tree, on a thread with a small stack and in a process with
 * a bound on its memory. An object of two bytes takes 240 as a tree: that is checked before (json_check.h for the rest), and then the tree is built by
 * json_build.h. Large values are read without a tree (json_view.h). Pure. */
#ifndef CHAT_WIRE_JSON_TEXT_H
#define CHAT_WIRE_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "wire/json_check.h"

/* Of a tree without its texts: thousands of values, more than any value read here needs. */
#define JSON_TREE_BYTES_MAX (1024 * 1024)

/* The object or array, owned by the caller, or NULL: it is neither, or malformed, nested deeper than JSON_DEPTH_MAX, or its tree would take more than
 * JSON_TREE_BYTES_MAX and size. "\u0000" in strings is kept. */
json_t *json_text_load(const char *text, size_t size);
/* json_text_load of an object or an array within text that was checked, as UTF-8 and by json_check.h: NULL if its tree would be too large. */
json_t *json_text_load_checked(const char *text, size_t size);
/* json_text_load of the first value of text, mended by json_repair.h if needed. */
json_t *json_text_load_mended(const char *text, size_t size);

/* Is it nested too deep, or too large as a tree? For any text. */
bool json_text_is_too_much(const char *text, size_t size);

#endif
