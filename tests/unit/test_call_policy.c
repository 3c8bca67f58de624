/* Whom to ask, and when: each strategy as a story, and what holds for all over random ones. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "llm/call_policy.h"

enum { AFTER = 300 };

struct story {
    struct call_policy policy;
    int64_t now_ms;
    bool budget;
    int asked_budget;
    size_t candidate;
    int64_t until_ms;
};

static bool may_hedge(void *arg)
{
    struct story *story = arg;
    story->asked_budget++;
    return story->budget;
}

static struct story begin(enum strategy strategy, size_t count)
{
    struct story story = {.budget = true};
    call_policy_init(&story.policy, strategy, count, AFTER);
    return story;
}

static enum call_step next(struct story *story)
{
    story->candidate = SIZE_MAX;
    return call_policy_next(&story->policy, story->now_ms, may_hedge, story, &story->candidate, &story->until_ms);
}

static void starts(struct story *story, size_t candidate)
{
    cr_assert_eq(next(story), CALL_START);
    cr_assert_eq(story->candidate, candidate);
}

static void waits(struct story *story, int64_t until_ms)
{
    cr_assert_eq(next(story), CALL_WAIT);
    cr_assert_eq(story->until_ms, until_ms);
}

Test(call_policy, sequential_asks_the_next_when_one_has_failed)
{
    struct story story = begin(STRATEGY_SEQUENTIAL, 3);
    starts(&story, 0);
    waits(&story, INT64_MAX);
    call_policy_ended(&story.policy, CALL_FAILED);
    starts(&story, 1);
    waits(&story, INT64_MAX);
    call_policy_ended(&story.policy, CALL_GOOD);
    cr_expect_eq(next(&story), CALL_WON);
    cr_expect_eq(story.asked_budget, 0);
}

Test(call_policy, a_fatal_error_ends_all)
{
    static const enum strategy strategies[] = {STRATEGY_SEQUENTIAL, STRATEGY_HEDGE, STRATEGY_RACE};
    for (size_t i = 0; i < 3; i++) {
        struct story story = begin(strategies[i], 2);
        starts(&story, 0);
        call_policy_ended(&story.policy, CALL_FATAL);
        cr_expect_eq(next(&story), CALL_LOST);
    }
}

Test(call_policy, all_failed_is_lost)
{
    struct story story = begin(STRATEGY_SEQUENTIAL, 2);
    for (size_t i = 0; i < 2; i++) {
        starts(&story, i);
        call_policy_ended(&story.policy, CALL_FAILED);
    }
    cr_expect_eq(next(&story), CALL_LOST);
}

Test(call_policy, in_a_race_an_error_never_wins_while_another_may_succeed)
{
    struct story story = begin(STRATEGY_RACE, 3);
    for (size_t i = 0; i < 3; i++)
        starts(&story, i);
    waits(&story, INT64_MAX);
    call_policy_ended(&story.policy, CALL_FAILED);
    waits(&story, INT64_MAX);
    call_policy_ended(&story.policy, CALL_FAILED);
    waits(&story, INT64_MAX);
    call_policy_ended(&story.policy, CALL_GOOD);
    cr_expect_eq(next(&story), CALL_WON);
    cr_expect_eq(story.asked_budget, 0, "its calls are what was asked for");
}

Test(call_policy, a_hedge_asks_the_next_when_the_first_is_slow)
{
    struct story story = begin(STRATEGY_HEDGE, 3);
    story.now_ms = 1000;
    starts(&story, 0);
    waits(&story, 1000 + AFTER);
    story.now_ms = 1000 + AFTER - 1;
    waits(&story, 1000 + AFTER);
    story.now_ms++;
    starts(&story, 1);
    waits(&story, 1000 + 2 * AFTER);
    story.now_ms += AFTER;
    starts(&story, 2);
    waits(&story, INT64_MAX);
    call_policy_ended(&story.policy, CALL_GOOD);
    cr_expect_eq(next(&story), CALL_WON);
    cr_expect_eq(story.asked_budget, 2);
}

Test(call_policy, a_hedge_asks_the_next_at_once_when_one_fails)
{
    struct story story = begin(STRATEGY_HEDGE, 3);
    starts(&story, 0);
    story.now_ms = AFTER;
    starts(&story, 1);
    call_policy_ended(&story.policy, CALL_FAILED);
    starts(&story, 2); /* beside the one that still runs */
    cr_expect_eq(story.asked_budget, 2);
}

Test(call_policy, without_budget_nobody_is_asked_beside_one_that_runs_but_a_failure_is_answered)
{
    struct story story = begin(STRATEGY_HEDGE, 2);
    story.budget = false;
    starts(&story, 0);
    story.now_ms = AFTER;
    waits(&story, INT64_MAX);
    waits(&story, INT64_MAX);
    cr_expect_eq(story.asked_budget, 1, "a budget that said no isn't pressed");
    call_policy_ended(&story.policy, CALL_FAILED);
    starts(&story, 1); /* nobody runs: a fallback, no hedge */
    cr_expect_eq(story.asked_budget, 1);
}

/* Random calls of random ends: replayed by their seed. */
Test(call_policy, what_holds_for_every_strategy)
{
    for (unsigned seed = 0; seed < 3000; seed++) {
        unsigned random = seed;
        enum strategy strategy = (enum strategy)(rand_r(&random) % 3);
        size_t count = 1 + (size_t)rand_r(&random) % 8;
        struct story story = begin(strategy, count);
        size_t started = 0, running = 0;
        bool good = false, fatal = false;
        for (int turn = 0; turn < 200; turn++) {
            story.budget = rand_r(&random) % 2;
            enum call_step step = next(&story);
            if (step == CALL_START) {
                cr_assert_eq(story.candidate, started, "seed %u: each once, by preference", seed);
                cr_assert(!good && !fatal, "seed %u: nothing begins when all is decided", seed);
                cr_assert(strategy != STRATEGY_SEQUENTIAL || running == 0, "seed %u", seed);
                started++;
                running++;
            } else if (step == CALL_WAIT) {
                cr_assert_gt(running, 0, "seed %u: somebody is waited for", seed);
                cr_assert(strategy != STRATEGY_RACE || started == count, "seed %u: all run", seed);
                story.now_ms += rand_r(&random) % 200;
                if (rand_r(&random) % 3 == 0) {
                    int end = rand_r(&random) % 8;
                    running--;
                    good = end == 0;
                    fatal = end == 1;
                    call_policy_ended(&story.policy, good ? CALL_GOOD : fatal ? CALL_FATAL : CALL_FAILED);
                }
            } else {
                cr_assert_eq(step, good ? CALL_WON : CALL_LOST, "seed %u", seed);
                cr_assert(good || fatal || (started == count && running == 0), "seed %u: nobody is given up too early", seed);
                break;
            }
        }
    }
}
