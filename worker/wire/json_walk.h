/* JSON text walked without parsing it: where white space ends, where a string ends, where the next bracket, comma or colon outside
 * strings stands. Any text will do, malformed too: nothing is read beyond end. For what is done to each byte of a job, so inline;
 * no allocation, no recursion. Pure; any thread. Private to wire/. */
#ifndef CHAT_WIRE_JSON_WALK_H
#define CHAT_WIRE_JSON_WALK_H

#include <stdbool.h>

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline const char *json_skip_space(const char *at, const char *end)
{
    while (at < end && json_is_space(*at))
        at++;
    return at;
}

/* From just behind an opening quote to its closing quote, or to end. */
static inline const char *json_string_end(const char *at, const char *end)
{
    while (at < end && *at != '"')
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    return at;
}

/* The first of { } [ ] : , that stands at `at` or behind it and in no string; end: there is none, or a string isn't closed. */
static inline const char *json_next_mark(const char *at, const char *end)
{
    for (; at < end; at++) {
        switch (*at) {
        case '{':
        case '}':
        case '[':
        case ']':
        case ':':
        case ',': return at;
        case '"':
            at = json_string_end(at + 1, end);
            if (at == end)
                return end;
            break;
        default: break;
        }
    }
    return end;
}

#endif
