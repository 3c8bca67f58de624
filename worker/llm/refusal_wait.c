#include "llm/refusal_wait.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Reads a number and its unit and moves *text behind them. -1: there is none. */
static double read_part(const char **text, bool unit_needed)
{
    static const struct {
        const char *unit; /* longer names first */
        double ms;
    } units[] = {{"milliseconds", 1}, {"millisecond", 1}, {"ms", 1}, {"seconds", 1000}, {"second", 1000}, {"secs", 1000}, {"sec", 1000},
                 {"minutes", 60000}, {"minute", 60000}, {"mins", 60000}, {"min", 60000}, {"hours", 3600000}, {"hour", 3600000},
                 {"hrs", 3600000}, {"days", 86400000}, {"day", 86400000}, {"secondes", 1000}, {"segundos", 1000}, {"sekunden", 1000}, {"minuten", 60000}, {"minutos", 60000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
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
static int64_t read_duration(const char *text, bool unit_needed, const char **ret_end)
{
    double ms = read_part(&text, unit_needed), part = ms;
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
    int64_t ms = read_duration(text, false, &end);
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

static bool has_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcasestr(text, *words) != NULL)
            return true;
    return false;
}

/* A time with its unit in a sentence about the next request: "you can make another request in 10 seconds", "10 seconds later". */
static int64_t wait_in_sentence(char *sentence)
{
    static const char *const subjects[] = {"retry", "retries", "try ", "again", "wait", "available", "reset", "replenish", "another request", "next request", "r\u00e9essay", "erneut", "reint\u00e9nt", "\u91cd\u8bd5", NULL};
    static const char *const before[] = {"in ", "after ", "for ", "within ", "wait ", "dans ", "en ", "about ", NULL};
    if (!has_one_of(sentence, subjects))
        return -1;
    for (char *at = sentence; *at != '\0'; at += strspn(at, "0123456789.")) {
        const char *end;
        at += strcspn(at, "0123456789");
        int64_t ms = read_duration(at, true, &end);
        if (ms < 0) {
            at += *at == '.';
            continue;
        }
        bool follows = strncasecmp(end, " later", 6) == 0 || strncmp(end, "\u540e", 3) == 0; /* Chinese: after */
        for (const char *const *word = before; !follows && *word != NULL; word++) {
            size_t size = strlen(*word);
            follows = (size_t)(at - sentence) >= size && strncasecmp(at - size, *word, size) == 0 &&
                      ((size_t)(at - sentence) == size || !isalpha((unsigned char)at[-(ptrdiff_t)size - 1]));
        }
        if (follows)
            return ms;
    }
    return -1;
}

/* A full stop within a number doesn't end a sentence. */
static int64_t wait_in_sentences(char *text)
{
    for (char *from = text; *from != '\0';) {
        char *to = from;
        while (*to != '\0' && !(strchr("\n;!?", *to) != NULL || (*to == '.' && (to[1] == ' ' || to[1] == '\0' || to[1] == '\n'))))
            to++;
        bool last = *to == '\0';
        *to = '\0';
        int64_t ms = wait_in_sentence(from);
        if (ms >= 0 || last)
            return ms;
        from = to + 1;
    }
    return -1;
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
        int64_t ms = read_duration(at, false, &end);
        if (ms >= 0)
            return ms;
    }
    return wait_in_sentences(copy);
}
