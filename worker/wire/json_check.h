/* Is a text JSON? The answer without a tree: what jansson would say of it (the unit tests ask both), at a cost in memory that
 * the text can't raise. A tree of a hostile text takes a hundred times its bytes, so what comes from outside is checked here
 * once and then read as text (json_view.h). No recursion. Pure; any thread.
 *
 * The bytes are taken for UTF-8: who calls has looked (utf8_invalid_at), or asks json_text_is_valid. */
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
    JSON_TWICE,        /* a name is there twice in one object */
    JSON_OUT_OF_RANGE, /* an integer beyond 64 bits, a number beyond a double */
    JSON_NUL_IN_NAME,
    JSON_TOO_DEEP
};

struct json_fault {
    enum json_fault_kind kind;
    size_t at; /* behind the token at fault; of a half pair its backslash, of a depth its bracket */
};

/* What is no fault in JSON, and may be one of a job's values. */
struct json_oddities {
    bool has_nul;         /* \u0000 stands in a string */
    bool has_long_number; /* 16 characters or more: may lie beyond 2^53 */
};

/* The first fault, from the front. Any value may stand at the top; strings may hold \u0000. unique: two members of one object
 * with the same name, however it is written, are a fault; costs 16 bytes for each member of an open object meanwhile. */
struct json_fault json_check(const char *text, size_t size, bool unique);
/* The same with unique names, down to so many levels (JSON_DEPTH_MAX at most). ret: as far as the first fault; may be NULL. */
struct json_fault json_check_within(const char *text, size_t size, size_t depth_max, struct json_oddities *ret);

/* UTF-8 and JSON, with unique names. */
bool json_text_is_valid(const char *text, size_t size);

#endif
