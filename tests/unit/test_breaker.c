/* A dependency's breaker, and what the dispatcher may start because of it. Time is a number here. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "breakers/breaker.h"

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
        cr_assert_not(breaker_succeeded(&b, 0));
    }
    cr_assert(breaker_is_calm(&b));
    cr_assert_eq(breaker_admits(&b), BREAKER_ADMITS_ALL);
    break_it(&b, 0);
    cr_assert_eq(breaker_admits(&b), 0);
}

Test(breaker, what_no_job_can_cause_counts_each_time)
{
    struct breaker b = fresh(4);
    cr_assert_not(breaker_failed(&b, 7, 0));
    cr_assert_not(breaker_failed(&b, 7, 0));
    for (int i = 0; i < 3; i++)
        cr_assert_not(breaker_failed(&b, BREAKER_EACH, 0), "%d", i);
    cr_assert(breaker_failed(&b, BREAKER_EACH, 0), "one session's, and four");
}

Test(breaker, a_refusal_of_the_job_itself_ends_a_series_and_opens_nothing)
{
    struct breaker b = fresh(4);
    for (uint64_t who = 0; who < 100; who++) {
        cr_assert_not(breaker_failed(&b, who, 0));
        breaker_refused(&b);
        cr_assert_not(breaker_is_calm(&b), "who has failed may yet be found at fault");
    }
    cr_assert_eq(b.successes, 0, "it is no answer");
    breaker_succeeded(&b, 0);
    cr_assert(breaker_is_calm(&b));
    break_it(&b, 0);
    breaker_refused(&b);
    cr_assert_eq(b.state, BREAKER_OPEN);
    cr_assert(breaker_tick(&b, 100));
    breaker_refused(&b);
    cr_assert_not(breaker_tick(&b, 100000));
    cr_assert_eq(breaker_admits(&b), 1, "the next is the probe");
}

Test(breaker, may_be_told_to_open_by_who_sees_more)
{
    struct breaker b = fresh(4);
    cr_assert_not(breaker_failed(&b, 7, 0));
    cr_assert_not(breaker_several(&b));
    cr_assert(breaker_open(&b, 0));
    cr_assert_eq(breaker_admits(&b), 0);
    cr_assert_not(breaker_open(&b, 50), "it is open");
    cr_assert(breaker_tick(&b, 100));
    cr_assert_not(breaker_open(&b, 100), "its probe is under way");
    cr_assert(breaker_failed(&b, 7, 100));
    cr_assert_not(breaker_several(&b), "one session, still");
    cr_assert_eq(breaker_sessions_with(&b, 7), 1);
    cr_assert_eq(breaker_sessions_with(&b, 8), 2);
    cr_assert(breaker_tick(&b, 300));
    cr_assert(breaker_failed(&b, 8, 300));
    cr_assert(breaker_several(&b));
    cr_assert_eq(breaker_sessions_with(&b, 8), 2);
    cr_assert(breaker_succeeded(&b, 300));
    cr_assert_not(breaker_several(&b), "an answer begins anew");
    breaker_failed(&b, BREAKER_EACH, 300);
    cr_assert(breaker_several(&b), "no job's doing");
}

/* ---- by rate ---- */

/* Failed, or answered (0), over and over until it opens; how many calls that took, or -1. */
static int calls_until_open(struct breaker *b, const uint64_t *calls, int count, int max)
{
    for (int i = 0; i < max; i++) {
        uint64_t who = calls[i % count];
        if (who == 0 ? breaker_succeeded(b, 0) : breaker_failed(b, who, 0))
            return i + 1;
    }
    return -1;
}

Test(breaker, by_rate_it_opens_when_half_of_the_last_calls_failed)
{
    static const uint64_t half[] = {1, 0, 2, 0, 3, 0, 4, 0, 5, 0}, less[] = {1, 0, 0, 2, 0, 3, 0, 0, 4, 0, 5, 0, 0},
                          one_session[] = {1, 0}, four_sessions[] = {1, 0, 2, 0, 3, 0, 4, 0}, each[] = {BREAKER_EACH, 0};
    static const struct {
        const char *what;
        const uint64_t *calls;
        int count, opens_after;
        bool by_rate;
    } rows[] = {
        {"half of them, of five sessions", half, 10, 21, true},
        {"less than half", less, sizeof less / sizeof *less, -1, true},
        {"half, of one session", one_session, 2, -1, true},
        {"half, of four sessions", four_sessions, 8, -1, true},
        {"half, which no job can cause", each, 2, 21, true},
        {"half of them, with no stand-in", half, 10, -1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct breaker b = fresh(4);
        b.by_rate = rows[i].by_rate;
        cr_expect_eq(calls_until_open(&b, rows[i].calls, rows[i].count, 1000), rows[i].opens_after, "%s", rows[i].what);
        cr_expect_eq(b.state, rows[i].opens_after < 0 ? BREAKER_CLOSED : BREAKER_OPEN, "%s", rows[i].what);
    }
}

Test(breaker, by_rate_it_isnt_calm_until_what_failed_is_forgotten)
{
    struct breaker b = fresh(4);
    b.by_rate = true;
    breaker_failed(&b, 1, 0);
    for (int i = 0; i < BREAKER_RECENT - 1; i++) {
        cr_assert_not(breaker_succeeded(&b, 0));
        cr_assert_not(breaker_is_calm(&b), "%d", i);
    }
    breaker_succeeded(&b, 0);
    cr_assert(breaker_is_calm(&b));
}

/* ---- recovery ---- */

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
        cr_assert_eq(breaker_admits(&b), 1);
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
    for (size_t admitted = 2; admitted < 64; admitted++) {
        cr_assert_not(breaker_succeeded(&b, 100));
        cr_assert_eq(breaker_admits(&b), admitted);
    }
    cr_assert(breaker_succeeded(&b, 100));
    cr_assert_eq(b.state, BREAKER_CLOSED);
    cr_assert(breaker_is_calm(&b));
}

Test(breaker, on_light_traffic_one_answer_and_a_pause_close_it_however_many_threads)
{
    for (size_t threads = 1; threads <= 100000; threads *= 10) {
        struct breaker b = fresh(threads);
        break_it(&b, 0);
        cr_assert(breaker_tick(&b, 100));
        cr_assert_not(breaker_tick(&b, 5000), "nobody was answered yet");
        breaker_succeeded(&b, 5000);
        if (threads > 1)
            cr_assert_not(breaker_tick(&b, 5099));
        breaker_tick(&b, 5100);
        cr_assert_eq(b.state, BREAKER_CLOSED, "%zu threads", threads);
        cr_assert(breaker_is_calm(&b));
    }
}

/* Else all of them would call a provider that has answered one. */
Test(breaker, while_somebody_waits_time_admits_no_more)
{
    struct breaker b = fresh(64);
    break_it(&b, 0);
    cr_assert(breaker_tick(&b, 100));
    breaker_succeeded(&b, 100);
    for (int64_t now = 110; now < 10000; now += 10) {
        breaker_waited_for(&b);
        cr_assert_not(breaker_tick(&b, now));
    }
    cr_assert_eq(breaker_admits(&b), 2);
    cr_assert_not(breaker_tick(&b, 9990 + 99));
    cr_assert(breaker_tick(&b, 9990 + 100), "and then nobody did");
}

Test(breaker, what_fails_while_it_recovers_holds_it_open_until_another_is_answered)
{
    struct breaker b = fresh(64);
    break_it(&b, 0);
    cr_assert(breaker_tick(&b, 100));
    breaker_succeeded(&b, 100);
    cr_assert_not(breaker_failed(&b, 1, 150));
    cr_assert_not(breaker_tick(&b, 10000));
    breaker_succeeded(&b, 10000);
    cr_assert(breaker_tick(&b, 10100));
}

Test(breaker, one_failure_while_it_recovers_is_forgiven_and_five_are_not)
{
    struct breaker b = fresh(64);
    break_it(&b, 0);
    cr_assert(breaker_tick(&b, 100));
    breaker_succeeded(&b, 150);
    cr_assert_not(breaker_failed(&b, 1, 200));
    cr_assert_eq(breaker_admits(&b), 2);
    breaker_succeeded(&b, 250);
    break_it(&b, 300);
    cr_assert(breaker_tick(&b, 400), "a first pause again: the probe before had succeeded");
}

Test(breaker, a_late_success_counts_while_it_is_open)
{
    struct breaker b = fresh(64);
    break_it(&b, 0);
    cr_assert(breaker_succeeded(&b, 0));
    cr_assert_eq(b.state, BREAKER_HALF_OPEN);
    cr_assert_eq(breaker_admits(&b), 2);
    struct breaker one = fresh(1);
    break_it(&one, 0);
    cr_assert(breaker_succeeded(&one, 0));
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
        size_t allowed = BREAKER_ADMITS_ALL; /* what the rules say, kept apart */
        int64_t now = 0;
        for (int i = 0; i < 300; i++) {
            enum breaker_state before = b.state;
            int what = rand_r(&random) % 10;
            now += rand_r(&random) % 60;
            bool changed = what < 5   ? breaker_failed(&b, (uint64_t)(rand_r(&random) % 8), now)
                           : what < 6 ? breaker_succeeded(&b, now)
                                      : breaker_tick(&b, now);
            cr_assert(changed == (before != b.state) || (before == BREAKER_OPEN && b.state == BREAKER_OPEN && !changed),
                      "CHAT_TEST_SEED=%u", seed);
            if (what < 5 && b.state == BREAKER_OPEN)
                allowed = 0;
            else if (what >= 6 && before == BREAKER_OPEN && b.state == BREAKER_HALF_OPEN)
                allowed = 1;
            else if (what == 5)
                allowed = breaker_admits(&b); /* any: something has succeeded */
            if (allowed <= 1)
                cr_assert_leq(breaker_admits(&b), allowed, "CHAT_TEST_SEED=%u step %d", seed, i);
        }
        for (int i = 0; i < 100; i++) {
            breaker_tick(&b, now += 1000);
            breaker_succeeded(&b, now);
        }
        cr_assert_eq(b.state, BREAKER_CLOSED, "CHAT_TEST_SEED=%u", seed);
    }
}
