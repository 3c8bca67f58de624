/* The members of a JSON object as text: for values that are passed on unchanged (printed anew, 0.2 would get
 * 17 digits), and to find members in a value that can't be parsed. No allocation, no recursion; pure,
 * any thread. */
#ifndef CHAT_WIRE_JSON_MEMBER_H
#define CHAT_WIRE_JSON_MEMBER_H

#include <stdbool.h>
#include <stddef.h>

/* Walks the members of the top-level object: start with {.at = json, .end = json + size}. In well-formed text
 * without duplicates they come in the order in which jansson iterates over the parsed object. A member
 * whose value is cut off by the end of the text comes last, with whole = false. */
struct json_member {
    const char *at, *end;
    const char *name; /* raw, between the quotes; escapes are not undone */
    size_t name_size;
    const char *value;
    size_t value_size;
    bool whole;
};
bool json_member_next(struct json_member *member); /* false: no more */
/* Escapes in the member's name are undone. */
bool json_member_is(const struct json_member *member, const char *name);

/* The end of the value that begins at `at`, without trailing white space; end: it is cut off. */
const char *json_value_end(const char *at, const char *end);
/* Is a string's raw content, between its quotes, equal to text after unescaping? */
bool json_text_means(const char *raw, size_t size, const char *text);

#endif
