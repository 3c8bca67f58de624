#include "llm/answer_times.h"

#define REFRESH_EVERY 16 /* samples between two computations of the quantile */

void answer_times_init(struct answer_times *times, int64_t now_ms)
{
    *times = (struct answer_times){.p95_first_ms = -1, .now_began_ms = now_ms, .probed_ms = now_ms - PROBE_GAP_MIN_MS, .probe_gap_ms = PROBE_GAP_MIN_MS};
}

/* ---- the quickest ---- */

static void forget_old(struct answer_times *times, int64_t now_ms)
{
    if (now_ms - times->now_began_ms < QUICKEST_HALF_MS)
        return;
    times->before = now_ms - times->now_began_ms < 2 * QUICKEST_HALF_MS ? times->now : (struct quickest){0};
    times->now = (struct quickest){0};
    times->now_began_ms = now_ms;
}

static void note_quickest(struct quickest *quickest, int64_t whole_ms, int64_t tokens)
{
    if (quickest->answers++ == 0 || whole_ms < quickest->whole_ms)
        quickest->whole_ms = whole_ms;
    if (tokens <= 0)
        return;
    double token_ms = (double)whole_ms / (double)tokens;
    if (quickest->token_ms == 0 || token_ms < quickest->token_ms)
        quickest->token_ms = token_ms;
}

/* The least time that an answer of at most max_tokens takes. */
static int64_t takes_ms(const struct quickest *quickest, int64_t max_tokens)
{
    if (quickest->answers == 0)
        return INT64_MAX;
    if (max_tokens > 0 && quickest->token_ms > 0 && (double)max_tokens * quickest->token_ms < (double)quickest->whole_ms)
        return (int64_t)((double)max_tokens * quickest->token_ms);
    return quickest->whole_ms;
}

static bool looks_too_slow(const struct answer_times *times, int64_t left_ms, int64_t max_tokens)
{
    if (times->now.answers + times->before.answers < LATENCY_SAMPLES_MIN)
        return false;
    return takes_ms(&times->now, max_tokens) > left_ms && takes_ms(&times->before, max_tokens) > left_ms;
}

enum in_time answer_times_look(struct answer_times *times, const struct in_time_question *question, int64_t now_ms)
{
    int64_t left_ms = question->left_ms;
    forget_old(times, now_ms);
    if (!looks_too_slow(times, left_ms, question->max_tokens))
        return IN_TIME_ASK;
    int64_t since_ms = now_ms - times->probed_ms;
    if (question->may_probe && left_ms > 0 && since_ms >= times->probe_gap_ms) {
        times->probed_ms = now_ms;
        times->probe_left_ms = left_ms;
        times->probe_gap_ms = 2 * times->probe_gap_ms < PROBE_GAP_MAX_MS ? 2 * times->probe_gap_ms : PROBE_GAP_MAX_MS;
        return IN_TIME_ASK;
    }
    /* A probe that has run longer than this job's remaining time can no longer show that it is enough. */
    return since_ms < left_ms && question->waited_ms < left_ms ? IN_TIME_LATER : IN_TIME_NEVER;
}

/* ---- when to hedge ---- */

static void note_first(struct answer_times *times, int64_t first_ms)
{
    latency_add(&times->first, first_ms);
    if (++times->firsts % REFRESH_EVERY == 0 || times->firsts == LATENCY_SAMPLES_MIN)
        times->p95_first_ms = latency_quantile(&times->first, 0.95);
}

int64_t answer_times_hedge_after_ms(const struct answer_times *times, int64_t fallback_ms)
{
    return times->p95_first_ms >= 0 ? times->p95_first_ms : fallback_ms;
}

/* ---- ends ---- */

void answer_times_good(struct answer_times *times, int64_t first_ms, int64_t whole_ms, int64_t tokens, int64_t now_ms)
{
    forget_old(times, now_ms);
    note_quickest(&times->now, whole_ms, tokens);
    if (whole_ms <= times->probe_left_ms) /* quick enough for the last probe: the next slow period starts again */
        times->probe_gap_ms = PROBE_GAP_MIN_MS;
    note_first(times, first_ms);
}

void answer_times_cut(struct answer_times *times, int64_t first_ms)
{
    if (times->p95_first_ms >= 0 && first_ms > times->p95_first_ms)
        note_first(times, first_ms);
}
