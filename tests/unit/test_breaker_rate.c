/* A breaker's rule of rates, for a provider that has a stand-in: half of the last calls, of several sessions. */
#include <criterion/criterion.h>

#include "dispatch/breaker.h"

static struct breaker fresh(bool by_rate)
{
    return (struct breaker){.pause_min_ms = 100, .pause_max_ms = 1000, .threads = 4, .by_rate = by_rate};
}

/* Calls that fail and succeed by turns: never two failures in a row. True: it has opened. */
static bool by_turns(struct breaker *b, int calls, uint64_t sessions)
{
    for (int i = 0; i < calls; i++) {
        if (i % 2 == 0 ? breaker_failed(b, 1 + (uint64_t)i / 2 % sessions, i) : breaker_succeeded(b))
            return true;
    }
    return false;
}

Test(breaker_rate, opens_when_half_of_the_last_calls_failed)
{
    struct breaker b = fresh(true);
    cr_assert_not(by_turns(&b, BREAKER_RECENT - 1, BREAKER_FAILURES), "too few to judge by");
    b = fresh(true);
    cr_assert(by_turns(&b, BREAKER_RECENT + 1, BREAKER_FAILURES));
    cr_assert_eq(b.state, BREAKER_OPEN);
}

Test(breaker_rate, one_session_s_failures_are_no_rate)
{
    for (uint64_t sessions = 1; sessions < BREAKER_FAILURES; sessions++) {
        struct breaker b = fresh(true);
        cr_assert_not(by_turns(&b, 100 * BREAKER_RECENT, sessions), "of %u sessions", (unsigned)sessions);
    }
}

Test(breaker_rate, fewer_than_half_are_no_rate)
{
    struct breaker b = fresh(true);
    for (int i = 0; i < 100 * BREAKER_RECENT; i++) {
        bool opened = i % 5 < 2 ? breaker_failed(&b, (uint64_t)i, i) : breaker_succeeded(&b);
        cr_assert_not(opened, "two of five, call %d", i);
    }
}

Test(breaker_rate, one_that_has_no_stand_in_is_not_judged_by_it)
{
    struct breaker b = fresh(false);
    cr_assert_not(by_turns(&b, 100 * BREAKER_RECENT, 50), "half of the answers are better than none");
}

Test(breaker_rate, what_failed_before_it_opened_is_forgotten)
{
    struct breaker b = fresh(true);
    cr_assert(by_turns(&b, BREAKER_RECENT + 1, BREAKER_FAILURES));
    cr_assert(breaker_tick(&b, 10000));
    while (b.state != BREAKER_CLOSED)
        breaker_succeeded(&b);
    cr_assert(breaker_is_calm(&b));
    cr_assert_not(by_turns(&b, BREAKER_RECENT - 4, BREAKER_FAILURES), "judged anew");
}
