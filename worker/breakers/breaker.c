#include "breakers/breaker.h"

static bool is_among(const uint64_t *sessions, int count, uint64_t who)
{
    for (int i = 0; i < count; i++)
        if (sessions[i] == who)
            return true;
    return false;
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

/* *ret_counted: of these, those that count: once a session, or each. */
static int recent_failures(const struct breaker *breaker, int *ret_counted)
{
    int failures = 0;
    *ret_counted = 0;
    for (int i = 0; i < breaker->recent_count; i++) {
        bool is_first = true;
        for (int j = 0; j < i && breaker->recent[i] != BREAKER_EACH; j++)
            is_first = is_first && breaker->recent[j] != breaker->recent[i];
        failures += breaker->recent[i] != 0;
        *ret_counted += breaker->recent[i] != 0 && is_first;
    }
    return failures;
}

static bool rate_is_high(const struct breaker *breaker)
{
    int counted;
    return breaker->by_rate && breaker->recent_count == BREAKER_RECENT && recent_failures(breaker, &counted) * 2 >= BREAKER_RECENT &&
           counted >= BREAKER_FAILURES;
}

static void open_until_probe(struct breaker *breaker, int64_t now_ms)
{
    breaker->state = BREAKER_OPEN;
    breaker->probe_ms = now_ms + pause_ms(breaker);
    breaker->failures = 0;
    breaker->recent_count = breaker->recent_at = 0;
}

static void note_who(struct breaker *breaker, uint64_t who)
{
    if (who == BREAKER_EACH)
        breaker->no_jobs_doing = true;
    else if (breaker->sessions < BREAKER_FAILURES && !is_among(breaker->who, breaker->sessions, who))
        breaker->who[breaker->sessions++] = who;
}

bool breaker_failed(struct breaker *breaker, uint64_t who, int64_t now_ms)
{
    note_who(breaker, who);
    if (breaker->state == BREAKER_OPEN) /* the call began before the breaker opened */
        return false;
    if (breaker->state == BREAKER_HALF_OPEN && breaker->probes == 1) {
        breaker->failed_probes++;
        open_until_probe(breaker, now_ms);
        return true;
    }
    breaker->waited_ms = now_ms; /* half open: the pause begins anew */
    if (who == BREAKER_EACH || !is_among(breaker->failed, breaker->failures, who))
        breaker->failed[breaker->failures++] = who;
    if (breaker->by_rate)
        note_recent(breaker, who != 0 ? who : 1);
    if (breaker->failures < BREAKER_FAILURES && !rate_is_high(breaker))
        return false;
    return breaker_open(breaker, now_ms);
}

bool breaker_open(struct breaker *breaker, int64_t now_ms)
{
    if (breaker_is_away(breaker))
        return false;
    breaker->failed_probes = 0;
    open_until_probe(breaker, now_ms);
    return true;
}

static void half_open(struct breaker *breaker, int64_t now_ms)
{
    breaker->state = BREAKER_HALF_OPEN;
    breaker->probes = 1;
    breaker->answered = false;
    breaker->waited_ms = now_ms;
}

static void forget(struct breaker *breaker)
{
    breaker->failures = 0;
    breaker->sessions = 0;
    breaker->no_jobs_doing = false;
    if (breaker->by_rate)
        note_recent(breaker, 0);
}

bool breaker_succeeded(struct breaker *breaker, int64_t now_ms)
{
    forget(breaker);
    breaker->successes++;
    if (breaker->state == BREAKER_CLOSED)
        return false;
    bool opened = breaker->state == BREAKER_OPEN;
    if (opened)
        half_open(breaker, now_ms);
    breaker->probes++;
    if (!breaker->answered)
        breaker->waited_ms = now_ms;
    breaker->answered = true;
    if (breaker->probes >= breaker->threads)
        breaker->state = BREAKER_CLOSED;
    return opened || breaker->state == BREAKER_CLOSED;
}

void breaker_refused(struct breaker *breaker)
{
    if (breaker->state != BREAKER_CLOSED)
        return;
    breaker->failures = 0;
    if (breaker->by_rate)
        note_recent(breaker, 0);
}

void breaker_waited_for(struct breaker *breaker)
{
    breaker->waited_for = true;
}

bool breaker_tick(struct breaker *breaker, int64_t now_ms)
{
    if (breaker->state == BREAKER_OPEN && now_ms >= breaker->probe_ms) {
        half_open(breaker, now_ms);
        return true;
    }
    if (breaker->waited_for)
        breaker->waited_ms = now_ms;
    breaker->waited_for = false;
    bool is_over = breaker->state == BREAKER_HALF_OPEN && breaker->answered && breaker->failures == 0;
    if (!is_over || now_ms - breaker->waited_ms < breaker->pause_min_ms)
        return false;
    breaker->state = BREAKER_CLOSED;
    return true;
}

int breaker_sessions_with(const struct breaker *breaker, uint64_t who)
{
    bool more = breaker->sessions < BREAKER_FAILURES && !is_among(breaker->who, breaker->sessions, who);
    return breaker->sessions + more;
}

bool breaker_several(const struct breaker *breaker)
{
    return breaker->no_jobs_doing || breaker->sessions > 1;
}

size_t breaker_admits(const struct breaker *breaker)
{
    switch (breaker->state) {
    case BREAKER_OPEN: return 0;
    case BREAKER_HALF_OPEN: return breaker->probes;
    case BREAKER_CLOSED: break;
    }
    return BREAKER_ADMITS_ALL;
}

bool breaker_is_away(const struct breaker *breaker)
{
    return breaker_admits(breaker) <= 1;
}

bool breaker_is_calm(const struct breaker *breaker)
{
    int counted;
    return breaker->state == BREAKER_CLOSED && breaker->failures == 0 && breaker->sessions == 0 && !breaker->no_jobs_doing && (!breaker->by_rate || recent_failures(breaker, &counted) == 0);
}
