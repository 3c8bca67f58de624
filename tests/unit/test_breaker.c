/* A dependency's breaker, and what the dispatcher may start because of it. Time is a number here. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "dispatch/breaker.h"

static struct breaker fresh(size_t threads)
{
    return (struct breaker){.pause_min_ms = 100, .pause_max_ms = 1000, .threads = threads};
}

/* Opened at now_ms by as many sessions as it takes. */
static void break_it(struct breaker *b, int64_t now_ms)
{
    for (uint64_t who = 0; who < BREAKER_FAILURES - 1; who++)
        cr_assert_not(breaker_failed(b, who, now_ms));
    cr_assert(breaker_failed(b, 99, now_ms));
    cr_assert_eq(b->state, BREAKER_OPEN);
}

Test(breaker, opens_on_failures_of_distinct_sessions_without_a_success_between)
{
    struct breaker b = fresh(4);
    for (int i = 0; i < 100; i++)
        cr_assert_not(breaker_failed(&b, 7, i), "one session's failures say nothing of the others");
    for (uint64_t who = 0; who < 100; who++) {
        cr_assert_not(breaker_failed(&b, who, 0));
        cr_assert_not(breaker_succeeded(&b));
    }
    cr_assert(breaker_is_calm(&b));
    cr_assert_eq(breaker_permits(&b), BREAKER_PERMITS_ALL);
    break_it(&b, 0);
    cr_assert_eq(breaker_permits(&b), 0);
}

Test(breaker, one_probe_after_a_pause_that_doubles_with_each_that_failed)
{
    static const int64_t pauses[] = {100, 200, 400, 800, 1000, 1000};
    struct breaker b = fresh(4);
    int64_t now = 0;
    break_it(&b, now);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        cr_assert_not(breaker_tick(&b, now + pauses[i] - 1));
        now += pauses[i];
        cr_assert(breaker_tick(&b, now));
        cr_assert_eq(breaker_permits(&b), 1);
        cr_assert_not(breaker_tick(&b, now + 5000), "the probe has all the time it needs");
        cr_assert(breaker_failed(&b, i, now));
        cr_assert_not(breaker_failed(&b, 50 + i, now), "those begun before it opened bring nothing new");
    }
}

Test(breaker, a_success_lets_more_in_step_by_step_until_it_is_closed)
{
    struct breaker b = fresh(64);
    break_it(&b, 0);
    cr_assert(breaker_tick(&b, 100));
    for (size_t permits = 2; permits < 64; permits++) {
        cr_assert_not(breaker_succeeded(&b));
        cr_assert_eq(breaker_permits(&b), permits);
    }
    cr_assert(breaker_succeeded(&b));
    cr_assert_eq(b.state, BREAKER_CLOSED);
    cr_assert(breaker_is_calm(&b));
}

Test(breaker, one_failure_while_it_recovers_is_forgiven_and_five_are_not)
{
    struct breaker b = fresh(64);
    break_it(&b, 0);
    cr_assert(breaker_tick(&b, 100));
    breaker_succeeded(&b);
    cr_assert_not(breaker_failed(&b, 1, 200));
    cr_assert_eq(breaker_permits(&b), 2);
    breaker_succeeded(&b);
    break_it(&b, 300);
    cr_assert(breaker_tick(&b, 400), "a first pause again: the probe before had succeeded");
}

Test(breaker, a_late_success_counts_while_it_is_open)
{
    struct breaker b = fresh(64);
    break_it(&b, 0);
    cr_assert(breaker_succeeded(&b));
    cr_assert_eq(b.state, BREAKER_HALF_OPEN);
    cr_assert_eq(breaker_permits(&b), 2);
    struct breaker one = fresh(1);
    break_it(&one, 0);
    cr_assert(breaker_succeeded(&one));
    cr_assert_eq(one.state, BREAKER_CLOSED);
}

/* Whatever happens: never more than one under way after it opened and before a success, and in the end it closes
 * when all goes well. Replay one: CHAT_TEST_SEED=N. */
Test(breaker, any_sequence_of_events_keeps_the_rules)
{
    unsigned seed = getenv("CHAT_TEST_SEED") ? (unsigned)atoi(getenv("CHAT_TEST_SEED")) : 1;
    for (unsigned end = seed + 200; seed < end; seed++) {
        unsigned random = seed;
        struct breaker b = fresh(1 + (size_t)(rand_r(&random) % 70));
        size_t allowed = BREAKER_PERMITS_ALL; /* what the rules say, kept apart */
        int64_t now = 0;
        for (int i = 0; i < 300; i++) {
            enum breaker_state before = b.state;
            int what = rand_r(&random) % 10;
            now += rand_r(&random) % 60;
            bool changed = what < 5   ? breaker_failed(&b, (uint64_t)(rand_r(&random) % 8), now)
                           : what < 6 ? breaker_succeeded(&b)
                                      : breaker_tick(&b, now);
            cr_assert(changed == (before != b.state) || (before == BREAKER_OPEN && b.state == BREAKER_OPEN && !changed),
                      "CHAT_TEST_SEED=%u", seed);
            if (what < 5 && b.state == BREAKER_OPEN)
                allowed = 0;
            else if (what >= 6 && before == BREAKER_OPEN && b.state == BREAKER_HALF_OPEN)
                allowed = 1;
            else if (what == 5)
                allowed = breaker_permits(&b); /* any: something has succeeded */
            if (allowed <= 1)
                cr_assert_leq(breaker_permits(&b), allowed, "CHAT_TEST_SEED=%u step %d", seed, i);
        }
        for (int i = 0; i < 100; i++) {
            breaker_tick(&b, now += 1000);
            breaker_succeeded(&b);
        }
        cr_assert_eq(b.state, BREAKER_CLOSED, "CHAT_TEST_SEED=%u", seed);
    }
}
