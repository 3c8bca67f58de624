/* Whether a job's time is too short to ask a provider: the quickest answers, their age, probes. Time is an input. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "llm/answer_times.h"

static struct answer_times times;

static void set_up(void)
{
    answer_times_init(&times, 0);
}

TestSuite(answer_times, .init = set_up);

static void answers(int count, int64_t ms, int64_t tokens, int64_t now_ms)
{
    for (int i = 0; i < count; i++)
        answer_times_good(&times, ms, ms, tokens, now_ms);
}

static enum in_time look(int64_t left_ms, int64_t max_tokens, int64_t waited_ms, int64_t now_ms)
{
    struct in_time_question question = {.left_ms = left_ms, .max_tokens = max_tokens, .waited_ms = waited_ms, .may_probe = true};
    return answer_times_look(&times, &question, now_ms);
}

/* Looks for a job that has waited already, and uses up a due probe. */
static bool is_too_slow(int64_t left_ms, int64_t max_tokens, int64_t now_ms)
{
    (void)look(left_ms, max_tokens, 0, now_ms);
    return look(left_ms, max_tokens, left_ms, now_ms) != IN_TIME_ASK;
}

Test(answer_times, the_twentieth_answer_is_enough)
{
    for (int i = 0; i < LATENCY_SAMPLES_MIN; i++) {
        cr_expect_not(is_too_slow(100, 0, 1000), "%d answers", i);
        cr_expect_eq(answer_times_hedge_after_ms(&times, 777), 777, "%d answers", i);
        answers(1, 400, -1, 1000);
    }
    cr_expect(is_too_slow(100, 0, 1000));
    cr_expect_not(is_too_slow(400, 0, 1000));
    cr_expect_neq(answer_times_hedge_after_ms(&times, 777), 777);
}

Test(answer_times, one_short_answer_among_long_ones_shows_that_there_may_be_another)
{
    answers(5000, 20000, 2000, 1000);
    cr_assert(is_too_slow(2000, 0, 1000));
    answers(1, 150, 5, 1000);
    cr_expect_not(is_too_slow(2000, 0, 1000));
    cr_expect(is_too_slow(100, 0, 1000));
}

Test(answer_times, a_job_s_max_tokens_says_that_its_answer_is_short)
{
    answers(100, 20000, 2000, 1000); /* 10 ms a token */
    cr_expect(is_too_slow(2000, 0, 1000));
    cr_expect(is_too_slow(2000, 500, 1000), "5 s");
    cr_expect_not(is_too_slow(2000, 150, 1000), "1.5 s");
    cr_expect_not(is_too_slow(20000, 100000, 1000), "a bound is no promise of length");
    set_up();
    answers(100, 20000, -1, 1000);
    cr_expect(is_too_slow(2000, 1, 1000), "of tokens nothing is known");
}

Test(answer_times, what_is_old_is_forgotten)
{
    answers(100, 20000, -1, 0);
    cr_expect(is_too_slow(2000, 0, QUICKEST_HALF_MS - 1));
    cr_expect(is_too_slow(2000, 0, QUICKEST_HALF_MS), "the half before still counts");
    cr_expect_not(is_too_slow(2000, 0, 2 * QUICKEST_HALF_MS));
    set_up();
    answers(100, 10, -1, 0); /* quick once */
    for (int64_t now = 0; now <= 2 * QUICKEST_HALF_MS; now += 100)
        answers(1, 20000, -1, now);
    cr_expect(is_too_slow(2000, 0, 2 * QUICKEST_HALF_MS), "what was quick a minute ago is forgotten, too");
    set_up();
    answers(100, 20000, -1, 0);
    cr_expect_not(is_too_slow(2000, 0, 10 * QUICKEST_HALF_MS), "after a long silence");
}

Test(answer_times, now_and_then_one_is_asked_all_the_same)
{
    int probes = 0;
    answers(100, 5000, -1, 0);
    for (int64_t now = 0; now < 20000; now++)
        probes += look(2000, 0, 2000, now) == IN_TIME_ASK;
    cr_expect(probes >= 20000 / PROBE_GAP_MAX_MS && probes <= 20000 / PROBE_GAP_MAX_MS + 3, "%d", probes);
}

Test(answer_times, nobody_is_the_probe_who_can_be_answered_elsewhere)
{
    struct in_time_question question = {.left_ms = 2000};
    answers(100, 5000, -1, 0);
    for (int64_t now = 0; now < 20000; now += 10)
        cr_expect_neq(answer_times_look(&times, &question, now), IN_TIME_ASK);
    cr_expect_eq(look(2000, 0, 0, 20000), IN_TIME_ASK, "no probe was used up");
}

Test(answer_times, those_that_come_meanwhile_wait_for_the_probe_while_it_can_still_help)
{
    answers(100, 5000, -1, 0);
    cr_expect_eq(look(2000, 0, 0, 0), IN_TIME_ASK, "the probe");
    cr_expect_eq(look(2000, 0, 0, 0), IN_TIME_LATER);
    cr_expect_eq(look(1900, 0, 1899, 100), IN_TIME_LATER);
    cr_expect_eq(look(1900, 0, 1900, 100), IN_TIME_NEVER, "it has waited for half of its time");
    cr_expect_eq(look(100, 0, 0, 100), IN_TIME_NEVER, "the probe has run as long as it has");
    cr_expect_eq(look(0, 0, 0, 10000), IN_TIME_NEVER, "one whose time is over is no probe");
}

/* Forty answers of 2.5 s, then quick ones: of the jobs with 2 s the first is the probe, and the others follow. */
Test(answer_times, it_ends_when_the_provider_is_quick_again)
{
    answers(40, 2500, 20, 0);
    cr_assert_eq(look(2000, 0, 0, 10), IN_TIME_ASK);
    for (int i = 0; i < 59; i++)
        cr_expect_eq(look(2000, 0, 0, 10), IN_TIME_LATER);
    answers(1, 20, 20, 30);
    for (int i = 0; i < 59; i++)
        cr_expect_eq(look(1980, 0, 20, 30), IN_TIME_ASK);
    cr_expect_eq(times.probe_gap_ms, PROBE_GAP_MIN_MS, "the next slow time is another");
}

Test(answer_times, knows_when_to_hedge)
{
    cr_expect_eq(answer_times_hedge_after_ms(&times, 777), 777);
    answers(90, 200, -1, 0);
    answers(10, 900, -1, 0);
    int64_t after_ms = answer_times_hedge_after_ms(&times, 777);
    cr_expect(after_ms >= 900 && after_ms <= 990, "%lld", (long long)after_ms);
}

/* Whatever came before: jobs every 100 ms with enough time for the present answers are soon admitted for good. */
Test(answer_times, it_never_condemns_for_good)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        unsigned random = seed;
        int64_t now = 0;
        set_up();
        for (int i = 0; i < 2000; i++) {
            int64_t left = 1 + rand_r(&random) % 5000, takes = 1 + rand_r(&random) % 8000;
            now += rand_r(&random) % 500;
            if (look(left, rand_r(&random) % 100, rand_r(&random) % 1000, now) == IN_TIME_ASK && takes <= left)
                answer_times_good(&times, takes, takes, rand_r(&random) % 50 - 1, now);
        }
        answers(100, 9000, -1, now); /* and slow */
        int64_t until = now + PROBE_GAP_MAX_MS + 200;
        for (; now < until; now += 100)
            if (look(1000, 0, 0, now) == IN_TIME_ASK)
                answers(1, 50, 10, now);
        cr_expect_eq(look(1000, 0, 0, now), IN_TIME_ASK, "seed %u", seed);
    }
}
