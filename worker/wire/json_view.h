/* Values within JSON text that was checked (json_check.h): found, compared and read in place. A view borrows its
 * text. No allocation unless noted; no recursion. Pure; any thread. */
#ifndef CHAT_WIRE_JSON_VIEW_H
#define CHAT_WIRE_JSON_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value without surrounding white space. All zero: none; every function accepts that, too. */
struct json_view {
    const char *text;
    size_t size;
};

#define JSON_VIEW_NONE (-1)

/* The value that begins at text and ends at end at the latest; white space before it is skipped. */
struct json_view json_view_of(const char *text, const char *end);
/* json_view_of for a NUL-terminated text; NULL: none. */
struct json_view json_view_of_text(const char *text);
/* The value's json_type (jansson's), by its first bytes; JSON_VIEW_NONE: there is no value. */
int json_view_type(struct json_view view);
/* "a string", "an object" …, for "must be a string, not …". */
const char *json_view_kind(struct json_view view);

/* An object's member of that name (unescaped), the last if there are several. */
struct json_view json_view_member(struct json_view object, const char *name);
/* Several members in one pass: ret[i] is that of names[i]. */
void json_view_members(struct json_view object, const char *const *names, size_t count, struct json_view *ret);
/* Walks an array: start with *at = {0}. At the end *at is none. */
bool json_view_next(struct json_view array, struct json_view *at);
/* Does an array have an element, an object a member, a string a character? False for other values. */
bool json_view_is_filled(struct json_view view);
bool json_view_is_filled_array(struct json_view view);

/* For strings, unescaped; false and empty for other values. */
bool json_view_is(struct json_view string, const char *text);
int json_view_compare(struct json_view a, struct json_view b); /* bytewise, as memcmp; both are strings */
/* NUL-terminated, may contain NULs; owned by the caller. NULL: not a string. ret_size may be NULL. */
char *json_view_decode(struct json_view string, size_t *ret_size);

/* The escape at a backslash. Half a surrogate pair is none. */
struct json_escape {
    size_t size; /* bytes of text; 0: not an escape */
    uint32_t code; /* the character */
};
struct json_escape json_escape_read(const char *text, const char *end);

#endif
