/* Values within JSON text that was checked (json_check.h): found, compared and read where they stand. A view is lent by its
 * text. No allocation but where it says so; no recursion. Pure; any thread. */
#ifndef CHAT_WIRE_JSON_VIEW_H
#define CHAT_WIRE_JSON_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value without the white space around it. All zero: there is none; every function takes that, too. */
struct json_view {
    const char *text;
    size_t size;
};

#define JSON_VIEW_NONE (-1)

/* The value that begins at text, which ends at end at the latest; white space before it is skipped. */
struct json_view json_view_of(const char *text, const char *end);
/* The same of a string; NULL: none. */
struct json_view json_view_of_text(const char *text);
/* A json_type of jansson's, told by the first bytes; JSON_VIEW_NONE: there is none. */
int json_view_type(struct json_view view);
/* "a string", "an object" …, for "must be a string, not …". */
const char *json_view_kind(struct json_view view);

/* An object's member of that name (plain text, however it is written in the object), the last if there are several. */
struct json_view json_view_member(struct json_view object, const char *name);
/* Several in one pass: ret[i] is the one of names[i]. */
void json_view_members(struct json_view object, const char *const *names, size_t count, struct json_view *ret);
/* Walks an array: start with *at = {0}. In the end *at is none. */
bool json_view_next(struct json_view array, struct json_view *at);
/* Has an array an element, an object a member, a string a character? False for what is none of them. */
bool json_view_is_filled(struct json_view view);
bool json_view_is_filled_array(struct json_view view);

/* Of strings, with escapes undone; false and empty for what is no string. */
bool json_view_is(struct json_view string, const char *text);
int json_view_compare(struct json_view a, struct json_view b); /* bytewise, as memcmp; both are strings */
/* With a NUL behind it, and maybe some within; owned by the caller. NULL: no string. ret_size may be NULL. */
char *json_view_decode(struct json_view string, size_t *ret_size);

/* One escape: what stands at its backslash. Half a surrogate pair is none. */
struct json_escape {
    size_t size; /* bytes of text; 0: it is none */
    uint32_t code; /* the character */
};
struct json_escape json_escape_read(const char *text, const char *end);

#endif
