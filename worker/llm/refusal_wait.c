#include "llm/refusal_wait.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A number and its unit; *text is behind them. -1: there is none. */
static double read_part(const char **text, bool unit_needed)
{
    static const struct {
        const char *unit; /* the longer first */
        double ms;
    } units[] = {{"milliseconds", 1}, {"millisecond", 1}, {"ms", 1}, {"seconds", 1000}, {"second", 1000}, {"secs", 1000}, {"sec", 1000},
                 {"minutes", 60000}, {"minute", 60000}, {"mins", 60000}, {"min", 60000}, {"hours", 3600000}, {"hour", 3600000},
                 {"hrs", 3600000}, {"days", 86400000}, {"day", 86400000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
                 {"\u79d2", 1000}, {"\u5206\u949f", 60000}, {"\u5c0f\u65f6", 3600000}};
    const char *at = *text;
    char *end;
    if (!isdigit((unsigned char)*at))
        return -1;
    size_t length = strspn(at, "0123456789.");
    double number = strtod(at, &end);
    if (end != at + length && !(end + 1 == at + length && at[length - 1] == '.')) /* "5." ends a sentence */
        return -1;
    at += length;
    const char *unit = at + strspn(at, " ");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t size = strlen(units[i].unit);
        if (strncasecmp(unit, units[i].unit, size) != 0 || (isalpha((unsigned char)units[i].unit[0]) && isalpha((unsigned char)unit[size])))
            continue;
        *text = unit + size;
        return number * units[i].ms;
    }
    if (unit_needed || isalpha((unsigned char)*unit))
        return -1;
    *text = at;
    return number * 1000;
}

/* "1h2m3s", "2 minutes and 5 seconds": parts one behind the other. */
static int64_t read_duration(const char *text, const char **ret_end)
{
    double ms = read_part(&text, false), part = ms;
    while (part >= 0 && ms < 1e15) {
        const char *next = text + strspn(text, " ");
        if (strncmp(next, "and ", 4) == 0)
            next += 4;
        part = read_part(&next, true);
        if (part >= 0) {
            ms += part;
            text = next;
        }
    }
    *ret_end = text;
    return ms < 0 || ms >= 1e15 ? -1 : (int64_t)ms;
}

int64_t refusal_wait_of(const char *text)
{
    const char *end;
    text += strspn(text, " ");
    int64_t ms = read_duration(text, &end);
    return ms >= 0 && end[strspn(end, " ")] == '\0' ? ms : -1;
}

int64_t refusal_reset_of(const char *text)
{
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text) && strlen(text) <= 15)
        return strtoll(text, NULL, 10);
    int64_t ms = refusal_wait_of(text);
    return ms < 0 ? -1 : (ms + 999) / 1000;
}

int64_t refusal_reset_wait_ms(int64_t reset, int64_t now_wall_ms)
{
    if (reset < 0)
        return -1;
    if (reset < REFUSAL_WAIT_S_MAX)
        return reset * 1000;
    int64_t at_ms = reset < 100000000000 ? reset * 1000 : reset; /* since 1970, s or ms */
    return at_ms > now_wall_ms ? at_ms - now_wall_ms : -1;
}

int64_t refusal_wait_in_text(const char *text, size_t size)
{
    static const char *const phrases[] = {"try again in",  "try again after", "retry after",    "retry in",         "retry again in", "retry again after",
                                          "wait for",      "please wait",     "available in",   "resets in",        "reset in",       "reset after",
                                          "retry_after",   "retryDelay",      "retry-after",    "wait at least",    "limit resets in", "in about",
                                          "\u8bf7\u5728",  "\u8bf7\u7b49\u5f85"}; /* Chinese: please in, please wait */
    char copy[2048];
    size_t kept = size < sizeof copy - 1 ? size : sizeof copy - 1;
    memcpy(copy, text, kept);
    copy[kept] = '\0';
    for (size_t i = 0; i < kept; i++)
        if (copy[i] == '\0')
            copy[i] = ' ';
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        const char *end, *at = strcasestr(copy, phrases[i]);
        if (at == NULL)
            continue;
        at += strlen(phrases[i]);
        at += strspn(at, " :=\"'~");
        int64_t ms = read_duration(at, &end);
        if (ms >= 0)
            return ms;
    }
    return -1;
}
