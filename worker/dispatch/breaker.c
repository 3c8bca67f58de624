#include "dispatch/breaker.h"

static bool is_new(const struct breaker *breaker, uint64_t who)
{
    for (int i = 0; i < breaker->failures; i++)
        if (breaker->failed[i] == who)
            return false;
    return true;
}

static int64_t pause_ms(const struct breaker *breaker)
{
    int64_t pause = breaker->pause_min_ms;
    for (int i = 0; i < breaker->failed_probes && pause < breaker->pause_max_ms; i++)
        pause *= 2;
    return pause < breaker->pause_max_ms ? pause : breaker->pause_max_ms;
}

static void note_recent(struct breaker *breaker, uint64_t who)
{
    breaker->recent[breaker->recent_at] = who;
    breaker->recent_at = (breaker->recent_at + 1) % BREAKER_RECENT;
    if (breaker->recent_count < BREAKER_RECENT)
        breaker->recent_count++;
}

static int recent_failures(const struct breaker *breaker, int *ret_sessions)
{
    int failures = 0;
    *ret_sessions = 0;
    for (int i = 0; i < breaker->recent_count; i++) {
        bool is_first = true;
        for (int j = 0; j < i; j++)
            is_first = is_first && breaker->recent[j] != breaker->recent[i];
        failures += breaker->recent[i] != 0;
        *ret_sessions += breaker->recent[i] != 0 && is_first;
    }
    return failures;
}

static bool rate_is_high(const struct breaker *breaker)
{
    int sessions;
    return breaker->by_rate && breaker->recent_count == BREAKER_RECENT && recent_failures(breaker, &sessions) * 2 >= BREAKER_RECENT &&
           sessions >= BREAKER_FAILURES;
}

static void open_until_probe(struct breaker *breaker, int64_t now_ms)
{
    breaker->state = BREAKER_OPEN;
    breaker->probe_ms = now_ms + pause_ms(breaker);
    breaker->failures = 0;
    breaker->recent_count = breaker->recent_at = 0;
}

bool breaker_failed(struct breaker *breaker, uint64_t who, int64_t now_ms)
{
    if (breaker->state == BREAKER_OPEN) /* begun before it opened: nothing new */
        return false;
    if (breaker->state == BREAKER_HALF_OPEN && breaker->permits == 1) {
        breaker->failed_probes++;
        open_until_probe(breaker, now_ms);
        return true;
    }
    if (is_new(breaker, who))
        breaker->failed[breaker->failures++] = who;
    if (breaker->by_rate)
        note_recent(breaker, who != 0 ? who : 1);
    if (breaker->failures < BREAKER_FAILURES && !rate_is_high(breaker))
        return false;
    breaker->failed_probes = 0;
    open_until_probe(breaker, now_ms);
    return true;
}

bool breaker_succeeded(struct breaker *breaker)
{
    breaker->failures = 0;
    breaker->successes++;
    if (breaker->by_rate)
        note_recent(breaker, 0);
    if (breaker->state == BREAKER_CLOSED)
        return false;
    bool opened = breaker->state == BREAKER_OPEN;
    breaker->permits = opened ? 2 : breaker->permits + 1;
    breaker->state = breaker->permits >= breaker->threads ? BREAKER_CLOSED : BREAKER_HALF_OPEN;
    return opened || breaker->state == BREAKER_CLOSED;
}

bool breaker_tick(struct breaker *breaker, int64_t now_ms)
{
    if (breaker->state != BREAKER_OPEN || now_ms < breaker->probe_ms)
        return false;
    breaker->state = BREAKER_HALF_OPEN;
    breaker->permits = 1;
    return true;
}

size_t breaker_permits(const struct breaker *breaker)
{
    switch (breaker->state) {
    case BREAKER_OPEN: return 0;
    case BREAKER_HALF_OPEN: return breaker->permits;
    case BREAKER_CLOSED: break;
    }
    return BREAKER_PERMITS_ALL;
}

bool breaker_is_calm(const struct breaker *breaker)
{
    int sessions;
    return breaker->state == BREAKER_CLOSED && breaker->failures == 0 && (!breaker->by_rate || recent_failures(breaker, &sessions) == 0);
}
