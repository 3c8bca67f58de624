#include "llm/retry_policy.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ASKED_MS_MAX 1e15 /* 30,000 years: far above RETRY_AFTER_OBEYED_MS_MAX, far below an overflow */

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* A plain decimal number ("1", "1.5", ".5"): no sign, no exponent, no "nan", no hex. False: it is not one. */
static bool decimal(const char *text, double *ret)
{
    text = skip_blanks(text);
    size_t length = strspn(text, "0123456789.");
    if (length == 0 || *skip_blanks(text + length) != '\0')
        return false;
    char *end = NULL;
    *ret = strtod(text, &end);
    return end == text + length;
}

static int64_t to_ms(double ms)
{
    return ms >= ASKED_MS_MAX ? (int64_t)ASKED_MS_MAX : (int64_t)ms;
}

int64_t retry_after_parse(const char *retry_after_ms, const char *retry_after, int64_t now_wall_ms)
{
    double number;
    if (retry_after_ms != NULL && decimal(retry_after_ms, &number))
        return to_ms(number);
    if (retry_after == NULL)
        return -1;
    if (decimal(retry_after, &number))
        return to_ms(number * 1000);
    /* curl_getdate would read a lone number as a date of its own; only text with a clock time is one. */
    if (strchr(retry_after, ':') == NULL)
        return -1;
    time_t at = curl_getdate(retry_after, NULL);
    if (at == (time_t)-1)
        return -1;
    int64_t left_ms = (int64_t)at * 1000 - now_wall_ms;
    return left_ms < 0 ? -1 : left_ms;
}

int64_t retry_delay_ms(const struct retry_settings_view *settings, int64_t failures, int64_t asked_ms, double random01)
{
    if (asked_ms >= 0 && asked_ms <= RETRY_AFTER_OBEYED_MS_MAX)
        return asked_ms;
    int64_t bound_ms = settings->backoff_ms;
    if (bound_ms > settings->backoff_max_ms)
        bound_ms = settings->backoff_max_ms;
    /* Doubling stops at the maximum, so that no number of failures overflows. */
    for (int64_t i = 1; i < failures && bound_ms > 0 && bound_ms < settings->backoff_max_ms; i++)
        bound_ms = bound_ms > settings->backoff_max_ms / 2 ? settings->backoff_max_ms : bound_ms * 2;
    if (bound_ms <= 0)
        return 0;
    int64_t delay_ms = (int64_t)(random01 * ((double)bound_ms + 1));
    return delay_ms < 0 ? 0 : delay_ms > bound_ms ? bound_ms : delay_ms;
}

bool retry_allowed(int64_t failures, int64_t attempts_max, int64_t asked_ms, int should_retry)
{
    return failures < attempts_max && asked_ms <= RETRY_AFTER_OBEYED_MS_MAX && should_retry != 0;
}
