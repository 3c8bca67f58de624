/* Is a text JSON? The same result as jansson's (the unit tests compare both), without a tree, in memory that
 * doesn't depend on the text. A tree of a hostile text takes a hundred times its bytes, so text from outside is checked here
 * once and then read as text (json_view.h). No recursion. Pure; any thread.
 *
 * The bytes must be UTF-8: the caller has checked that (utf8_invalid_at), or calls json_text_is_valid. */
#ifndef CHAT_WIRE_JSON_CHECK_H
#define CHAT_WIRE_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* An answer may nest as deep as a job (64), and a history element wraps it in three more. */
#define JSON_DEPTH_MAX 72

enum json_fault_kind {
    JSON_FINE,
    JSON_MALFORMED,
    JSON_HALF_PAIR,    /* an escape of half a surrogate pair */
    JSON_ENDS_EARLY,
    JSON_GOES_ON,      /* more text after the value */
    JSON_TWICE,        /* a name occurs twice in one object */
    JSON_OUT_OF_RANGE, /* an integer beyond 64 bits, a number beyond a double */
    JSON_NUL_IN_NAME,
    JSON_TOO_DEEP
};

struct json_fault {
    enum json_fault_kind kind;
    size_t at; /* behind the token at fault; of a half pair its backslash, of a depth its bracket */
};

/* Properties that are no fault in JSON, but may be one in a job. */
struct json_oddities {
    bool has_nul;         /* \u0000 occurs in a string */
    bool has_long_number; /* 16 characters or more: may lie beyond 2^53 */
};

/* The first fault, from the front. Any value may be at the top; strings may contain \u0000. unique: two members of one object
 * with the same name, however escaped, are a fault; costs 16 bytes for each member of an open object meanwhile. */
struct json_fault json_check(const char *text, size_t size, bool unique);
/* json_check with unique names, down to depth_max levels (JSON_DEPTH_MAX at most). ret: up to the first fault; may be NULL. */
struct json_fault json_check_within(const char *text, size_t size, size_t depth_max, struct json_oddities *ret);

/* UTF-8 and JSON, with unique names. */
bool json_text_is_valid(const char *text, size_t size);

#endif
