/* Walks JSON text without parsing it: the end of white space, the end of a string, the next bracket, comma or colon outside
 * strings. Any text, even malformed: nothing is read beyond end. Inline, since it runs for each byte of a job;
 * no allocation, no recursion. Pure; any thread. Private to wire/. */
#ifndef CHAT_WIRE_JSON_WALK_H
#define CHAT_WIRE_JSON_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

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

/* From just behind an opening quote to its closing quote, or to end. Most of a job is text: the C library searches for the quote, which
 * ends the string if an even number of backslashes precedes it. */
static inline const char *json_string_end(const char *at, const char *end)
{
    for (const char *quote = at; quote < end && (quote = memchr(quote, '"', (size_t)(end - quote))) != NULL; quote++) {
        const char *escapes = quote;
        while (escapes > at && escapes[-1] == '\\')
            escapes--;
        if ((quote - escapes) % 2 == 0)
            return quote;
    }
    return end;
}

/* The first of { } [ ] : , from `at` on that isn't in a string; end: there is none, or a string isn't closed. */
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
