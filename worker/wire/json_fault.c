#include "wire/json_fault.h"

#include <stdio.h>

#define REFUSE(err, code, ...) error_set((err), ERROR_PERMANENT, (code), __VA_ARGS__)

/* The name that ends, with its quote, before byte `at`; characters that aren't plain are shown as '?'. */
static void name_before(const char *json, size_t size, size_t at, char *out, size_t out_size)
{
    size_t to = at <= size ? at : size;
    while (to > 0 && json[to - 1] != '"')
        to--;
    to -= to > 0;
    size_t from = to;
    while (from > 0 && (json[from - 1] != '"' || (from > 1 && json[from - 2] == '\\')))
        from--;
    snprintf(out, out_size, "%.*s", to - from > 40 ? 40 : (int)(to - from), json + from);
    for (; *out != '\0'; out++)
        if (*out < ' ' || *out > '~')
            *out = '?';
}

enum status json_fault_set(struct error *err, const char *where, const char *text, size_t size, const struct json_fault *fault)
{
    size_t at = fault->at;
    char name[48];
    switch (fault->kind) {
    case JSON_TWICE:
        name_before(text, size, at, name, sizeof name);
        return REFUSE(err, "duplicate_member", "%s: the member \"%s\" is there twice, again at byte %zu; keep one", where, name, at);
    case JSON_HALF_PAIR:
        return REFUSE(err, "invalid_utf8", "%s: half a surrogate pair (\\ud800 to \\udfff) at byte %zu", where, at);
    case JSON_OUT_OF_RANGE:
        return REFUSE(err, "integer_out_of_range", "%s: the number at byte %zu is out of range; send it as a string", where, at);
    case JSON_TOO_DEEP:
        return REFUSE(err, "nested_too_deep", "%s: nested too deep at byte %zu", where, at);
    case JSON_NUL_IN_NAME:
        return REFUSE(err, "invalid_json", "%s: a member's name holds a NUL character (\\u0000)", where);
    case JSON_ENDS_EARLY:
        return REFUSE(err, "invalid_json", "%s: the JSON text ends too early, at byte %zu", where, at);
    case JSON_GOES_ON:
        return REFUSE(err, "invalid_json", "%s: more text after the JSON, at byte %zu", where, at);
    case JSON_MALFORMED:
    case JSON_FINE: break;
    }
    return REFUSE(err, "invalid_json", "%s: not JSON at byte %zu", where, at);
}
