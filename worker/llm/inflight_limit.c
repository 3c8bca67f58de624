#include "llm/inflight_limit.h"

#define LOWERED_LEAST 0.1
#define LOWERED_MOST 0.5
#define REFUSED_OFTEN 0.07 /* from this share of overload answers on `stood` falls */
#define RECENT 200         /* the number of answers for that share */
#define RECENT_FIRST 20   /* good answers assumed at first, so that the first refusal isn't half of all */
/* Above `stood`, additional calls a round: at first, and the factor of the square of the seconds without an overload answer. */
#define SLOW_CALLS 0.1
#define SLOW_CALLS_PER_S2 0.05

void inflight_limit_init(struct inflight_limit *limit, size_t threads, size_t in_flight_max, bool adaptive)
{
    bool bounded = in_flight_max > 0;
    size_t ceiling = bounded && in_flight_max < threads ? in_flight_max : threads;
    *limit = (struct inflight_limit){.adaptive = adaptive,
                                     .ceiling = ceiling,
                                     .is_bounded = bounded,
                                     .limit = (double)ceiling,
                                     .stood = (double)ceiling,
                                     .answered = true,
                                     .good = RECENT_FIRST};
}

size_t inflight_limit_get(const struct inflight_limit *limit)
{
    if (limit->limit < (double)limit->ceiling)
        return (size_t)limit->limit;
    return limit->is_bounded ? limit->ceiling : SIZE_MAX;
}

static void note(struct inflight_limit *limit, double *count)
{
    *count += 1;
    if (limit->good + limit->refused < RECENT)
        return;
    limit->good /= 2;
    limit->refused /= 2;
}

static double at_most(double value, double most)
{
    return value < most ? value : most;
}

void inflight_limit_good(struct inflight_limit *limit, size_t in_flight, int64_t now_ms)
{
    bool in_use = 2 * (double)in_flight >= limit->limit;
    note(limit, &limit->good);
    limit->answered = true;
    if (limit->limit < limit->stood) {
        limit->limit = at_most(limit->limit + 1, limit->stood);
        return;
    }
    if (!in_use)
        return;
    double quiet_s = (double)(now_ms - limit->lowered_ms) / 1000, calls = SLOW_CALLS + SLOW_CALLS_PER_S2 * quiet_s * quiet_s;
    if (++limit->round >= limit->limit) {
        limit->stood = limit->limit;
        limit->round = 0;
    }
    limit->limit = at_most(limit->limit + at_most(calls / limit->limit, 1), (double)limit->ceiling);
}

void inflight_limit_overloaded(struct inflight_limit *limit, uint32_t began_under, int64_t now_ms)
{
    double least = limit->ceiling < INFLIGHT_MIN ? (double)limit->ceiling : INFLIGHT_MIN;
    if (!limit->adaptive)
        return;
    note(limit, &limit->refused);
    if (began_under != limit->epoch || !limit->answered)
        return;
    double before = limit->limit, share = limit->refused / (limit->good + limit->refused);
    double part = share / 2 < LOWERED_LEAST ? LOWERED_LEAST : at_most(share / 2, LOWERED_MOST);
    double lowered = at_most(before * (1 - part), before - 1); /* at least one whole call */
    limit->limit = lowered < least ? least : lowered;
    if (share >= REFUSED_OFTEN)
        limit->stood = at_most(limit->stood, (before + limit->limit) / 2);
    limit->epoch++;
    limit->answered = false;
    limit->round = 0;
    limit->lowered_ms = now_ms;
}
