/* Which provider to ask, when, and what an end means: each as a story, and random ones against a model. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "../lib/question_model.h"

enum { AFTER = 300, A = 0, B = 1, C = 2 };

static const size_t in_order[] = {A, B, C};

struct story {
    struct question *question;
    int64_t now_ms;
};

static struct question_plan of(enum strategy strategy, size_t count)
{
    return (struct question_plan){.strategy = strategy, .hedge_after_ms = AFTER, .provider_count = 3, .candidates = in_order, .count = count,
                                  .overflow_provider = QUESTION_NOBODY, .filter_provider = QUESTION_NOBODY};
}

static struct story begin(struct question_plan plan)
{
    return (struct story){.question = question_create(&plan)};
}

static struct question_step next(struct story *story)
{
    return question_next(story->question, story->now_ms);
}

static void expect_step(struct story *story, enum question_action action, size_t provider)
{
    struct question_step step = next(story);
    cr_assert_eq(step.action, action, "action %d, not %d", step.action, action);
    cr_assert_eq(step.provider, provider, "provider %zu, not %zu", step.provider, provider);
}

static struct question_step starts(struct story *story, size_t provider)
{
    expect_step(story, QUESTION_PERMIT, provider);
    question_permit(story->question, provider, true);
    struct question_step step = next(story);
    cr_assert_eq(step.action, QUESTION_START);
    cr_assert_eq(step.provider, provider);
    return step;
}

static void is_held_up(struct story *story, size_t provider)
{
    expect_step(story, QUESTION_PERMIT, provider);
    question_permit(story->question, provider, false);
}

static void waits(struct story *story, int64_t until_ms)
{
    struct question_step step = next(story);
    cr_assert_eq(step.action, QUESTION_WAIT);
    cr_assert_eq(step.until_ms, until_ms);
}

static void asks_the_budget(struct story *story, bool allowed)
{
    cr_assert_eq(next(story).action, QUESTION_HEDGE);
    question_hedge(story->question, allowed);
}

static bool ends(struct story *story, size_t provider, enum question_verdict verdict, enum error_class class)
{
    return question_ended(story->question, provider, &(struct question_end){.verdict = verdict, .class = class});
}

static void fails(struct story *story, size_t provider)
{
    cr_assert_not(ends(story, provider, QUESTION_FAILED, ERROR_RETRIABLE));
}

static void too_long(struct story *story, size_t provider, size_t skip)
{
    cr_assert_not(question_ended(story->question, provider, &(struct question_end){.verdict = QUESTION_TOO_LONG, .class = ERROR_PERMANENT, .skip = skip}));
}

static void drops(struct story *story, size_t provider)
{
    struct question_step step = next(story);
    cr_assert_eq(step.action, QUESTION_DROP);
    cr_assert_eq(step.provider, provider);
    cr_assert(step.running);
}

/* Over: *ret may be NULL. */
static void over(struct story *story, enum question_action how, struct question_outcome *ret)
{
    cr_assert_eq(next(story).action, how);
    if (ret != NULL)
        *ret = question_outcome(story->question);
    question_destroy(story->question);
}

Test(question, sequential_asks_the_next_when_one_has_failed)
{
    struct story story = begin(of(STRATEGY_SEQUENTIAL, 3));
    struct question_outcome end;
    cr_expect_not(starts(&story, A).extra);
    waits(&story, INT64_MAX);
    fails(&story, A);
    cr_expect(starts(&story, B).extra);
    waits(&story, INT64_MAX);
    cr_expect(ends(&story, B, QUESTION_GOOD, ERROR_NONE));
    over(&story, QUESTION_WON, &end);
    cr_expect_eq(end.winner, B);
    cr_expect_eq(end.reported, 1);
}

Test(question, what_is_the_questions_own_fault_ends_all)
{
    static const enum strategy strategies[] = {STRATEGY_SEQUENTIAL, STRATEGY_HEDGE, STRATEGY_RACE};
    for (size_t i = 0; i < 3; i++) {
        struct story story = begin(of(strategies[i], 2));
        struct question_outcome end;
        starts(&story, A);
        if (strategies[i] == STRATEGY_RACE)
            starts(&story, B);
        cr_expect_not(ends(&story, A, QUESTION_FATAL, ERROR_PERMANENT));
        if (strategies[i] == STRATEGY_RACE)
            drops(&story, B);
        over(&story, QUESTION_LOST, &end);
        cr_expect_eq(end.reported, 0);
    }
}

Test(question, the_failure_that_leaves_most_hope_is_the_questions)
{
    static const struct {
        enum error_class classes[3];
        size_t told;
    } rows[] = {{{ERROR_PERMANENT, ERROR_UNAVAILABLE, ERROR_RETRIABLE}, 2},
                {{ERROR_PERMANENT, ERROR_UNAVAILABLE, ERROR_UNAVAILABLE}, 1},
                {{ERROR_RETRIABLE, ERROR_UNAVAILABLE, ERROR_RETRIABLE}, 0},
                {{ERROR_UNAVAILABLE, ERROR_RETRIABLE, ERROR_PERMANENT}, 1},
                {{ERROR_PERMANENT, ERROR_PERMANENT, ERROR_PERMANENT}, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct story story = begin(of(STRATEGY_SEQUENTIAL, 3));
        struct question_outcome end;
        for (size_t p = 0; p < 3; p++) {
            starts(&story, p);
            ends(&story, p, QUESTION_FAILED, rows[i].classes[p]);
        }
        over(&story, QUESTION_LOST, &end);
        cr_expect_eq(end.reported, rows[i].told, "row %zu", i);
    }
}

Test(question, in_a_race_an_error_never_wins_while_another_may_succeed)
{
    struct story story = begin(of(STRATEGY_RACE, 3));
    for (size_t p = 0; p < 3; p++)
        starts(&story, p);
    waits(&story, INT64_MAX);
    fails(&story, A);
    waits(&story, INT64_MAX);
    cr_expect(ends(&story, B, QUESTION_GOOD, ERROR_NONE));
    drops(&story, C);
    over(&story, QUESTION_WON, NULL);
}

Test(question, a_hedge_asks_the_next_when_the_first_is_slow)
{
    struct story story = begin(of(STRATEGY_HEDGE, 3));
    story.now_ms = 1000;
    starts(&story, A);
    waits(&story, 1000 + AFTER);
    story.now_ms = 1000 + AFTER - 1;
    waits(&story, 1000 + AFTER);
    story.now_ms++;
    asks_the_budget(&story, true);
    starts(&story, B);
    waits(&story, 1000 + 2 * AFTER);
    story.now_ms += AFTER;
    asks_the_budget(&story, true);
    starts(&story, C);
    waits(&story, INT64_MAX);
    ends(&story, C, QUESTION_GOOD, ERROR_NONE);
    drops(&story, A);
    drops(&story, B);
    over(&story, QUESTION_WON, NULL);
}

Test(question, a_hedge_asks_the_next_at_once_when_one_fails)
{
    struct story story = begin(of(STRATEGY_HEDGE, 3));
    starts(&story, A);
    story.now_ms = AFTER;
    asks_the_budget(&story, true);
    starts(&story, B);
    fails(&story, A);
    asks_the_budget(&story, true); /* another still runs */
    starts(&story, C);
    question_cancel(story.question);
    drops(&story, B);
    drops(&story, C);
    over(&story, QUESTION_LOST, NULL);
}

Test(question, without_budget_nobody_is_asked_beside_one_that_runs_but_a_failure_is_answered)
{
    struct story story = begin(of(STRATEGY_HEDGE, 2));
    starts(&story, A);
    story.now_ms = AFTER;
    asks_the_budget(&story, false);
    waits(&story, INT64_MAX); /* the budget is asked once */
    fails(&story, A);
    starts(&story, B); /* no call runs: not a hedge */
    ends(&story, B, QUESTION_GOOD, ERROR_NONE);
    over(&story, QUESTION_WON, NULL);
}

/* ---- fallbacks ---- */

/* A fallback that runs already as a hedge isn't asked a second time. */
Test(question, a_filtered_answer_waits_for_the_filter_provider_that_is_under_way)
{
    struct question_plan plan = of(STRATEGY_HEDGE, 2);
    plan.filter_provider = B;
    struct story story = begin(plan);
    struct question_outcome end;
    starts(&story, A);
    story.now_ms = AFTER;
    asks_the_budget(&story, true);
    starts(&story, B);
    cr_expect_not(ends(&story, A, QUESTION_FILTERED, ERROR_PERMANENT));
    waits(&story, INT64_MAX);
    cr_expect(ends(&story, B, QUESTION_GOOD, ERROR_NONE));
    over(&story, QUESTION_WON, &end);
    cr_expect_eq(end.winner, B);
}

Test(question, a_filtered_answer_is_taken_where_nobody_else_may_be_asked)
{
    struct question_plan plan = of(STRATEGY_SEQUENTIAL, 2);
    plan.filter_provider = A;
    struct story story = begin(plan);
    starts(&story, A);
    fails(&story, A);
    starts(&story, B);
    cr_expect(ends(&story, B, QUESTION_FILTERED, ERROR_PERMANENT), "A was asked");
    over(&story, QUESTION_WON, NULL);
}

Test(question, refused_content_goes_to_the_filter_provider_or_nowhere)
{
    struct question_plan plan = of(STRATEGY_SEQUENTIAL, 2);
    plan.filter_provider = C;
    struct story story = begin(plan);
    starts(&story, A);
    cr_expect_not(ends(&story, A, QUESTION_CONTENT_REFUSED, ERROR_PERMANENT));
    cr_expect(starts(&story, C).fallback);
    ends(&story, C, QUESTION_CONTENT_REFUSED, ERROR_PERMANENT);
    over(&story, QUESTION_LOST, NULL); /* B isn't asked */
}

Test(question, when_the_filter_provider_has_no_permit_nobody_else_is_told_the_content)
{
    struct question_plan plan = of(STRATEGY_SEQUENTIAL, 2);
    plan.filter_provider = C;
    struct story story = begin(plan);
    struct question_outcome end;
    starts(&story, A);
    ends(&story, A, QUESTION_FILTERED, ERROR_PERMANENT);
    is_held_up(&story, C);
    over(&story, QUESTION_LOST, &end);
    cr_expect(end.held_up);
    cr_expect_eq(end.held_up_provider, C);
}

Test(question, a_conversation_too_long_is_shortened_once_then_goes_to_the_overflow_provider)
{
    struct question_plan plan = of(STRATEGY_SEQUENTIAL, 1);
    plan.overflow_provider = C;
    plan.turn_count = 4;
    struct story story = begin(plan);
    struct question_outcome end;
    cr_expect_eq(starts(&story, A).skipped, 0);
    too_long(&story, A, 2);
    struct question_step again = starts(&story, A);
    cr_expect_eq(again.skipped, 2);
    cr_expect_not(again.fallback);
    too_long(&story, A, 4);
    cr_expect_eq(starts(&story, C).skipped, 0);
    ends(&story, C, QUESTION_GOOD, ERROR_NONE);
    over(&story, QUESTION_WON, &end);
    cr_expect_eq(end.skipped, 0);
}

Test(question, what_is_too_long_for_one_may_fit_another)
{
    struct story story = begin(of(STRATEGY_RACE, 2));
    starts(&story, A);
    starts(&story, B);
    too_long(&story, A, 0);
    waits(&story, INT64_MAX);
    cr_expect(ends(&story, B, QUESTION_GOOD, ERROR_NONE));
    over(&story, QUESTION_WON, NULL);
}

/* ---- a history that every provider refuses ---- */

Test(question, when_all_refuse_the_conversation_unexplained_the_first_is_asked_without_its_history)
{
    struct question_plan plan = of(STRATEGY_SEQUENTIAL, 2);
    plan.turn_count = 3;
    struct story story = begin(plan);
    struct question_outcome end;
    starts(&story, A);
    ends(&story, A, QUESTION_UNEXPLAINED, ERROR_PERMANENT);
    starts(&story, B);
    ends(&story, B, QUESTION_UNEXPLAINED, ERROR_PERMANENT);
    cr_expect_eq(starts(&story, A).skipped, 3);
    ends(&story, A, QUESTION_GOOD, ERROR_NONE);
    over(&story, QUESTION_WON, &end);
    cr_expect(end.alone);
    cr_expect_eq(end.skipped, 3);
    cr_expect_eq(end.winner, A);
}

Test(question, a_refusal_is_not_the_historys_when_there_is_none_or_another_failed_otherwise)
{
    for (int otherwise = 0; otherwise < 2; otherwise++) {
        struct question_plan plan = of(STRATEGY_SEQUENTIAL, 2);
        plan.turn_count = otherwise ? 3 : 0;
        struct story story = begin(plan);
        struct question_outcome end;
        starts(&story, A);
        ends(&story, A, QUESTION_UNEXPLAINED, ERROR_PERMANENT);
        starts(&story, B);
        ends(&story, B, otherwise ? QUESTION_FAILED : QUESTION_UNEXPLAINED, otherwise ? ERROR_RETRIABLE : ERROR_PERMANENT);
        over(&story, QUESTION_LOST, &end);
        cr_expect_eq(end.reported, otherwise ? 1 : 0);
    }
}

Test(question, there_is_one_repeat_in_all)
{
    struct question_plan plan = of(STRATEGY_SEQUENTIAL, 2);
    plan.turn_count = 3;
    struct story story = begin(plan);
    starts(&story, A);
    too_long(&story, A, 1);
    starts(&story, A);
    ends(&story, A, QUESTION_UNEXPLAINED, ERROR_PERMANENT);
    starts(&story, B);
    too_long(&story, B, 1);
    over(&story, QUESTION_LOST, NULL);
}

Test(question, who_refused_a_history_before_a_wait_is_not_asked_with_it_again)
{
    struct question_plan plan = of(STRATEGY_SEQUENTIAL, 2);
    plan.turn_count = 3;
    struct story story = begin(plan);
    struct question_outcome end;
    is_held_up(&story, A);
    starts(&story, B);
    ends(&story, B, QUESTION_UNEXPLAINED, ERROR_PERMANENT);
    over(&story, QUESTION_LOST, &end);
    cr_expect_eq(end.refused, 1 << B);

    plan.refused = end.refused;
    story = begin(plan);
    starts(&story, A);
    ends(&story, A, QUESTION_UNEXPLAINED, ERROR_PERMANENT);
    is_held_up(&story, A);
    over(&story, QUESTION_LOST, &end);
    cr_expect(end.held_up_alone);
    cr_expect_eq(end.refused, 1 << A | 1 << B);

    plan.refused = end.refused;
    struct story without = begin(plan);
    cr_expect_eq(starts(&without, A).skipped, 3, "all have refused: only the repeat is left");
    ends(&without, A, QUESTION_GOOD, ERROR_NONE);
    over(&without, QUESTION_WON, &end);
    cr_expect(end.alone);
}

Test(question, a_repeat_without_history_that_waited_is_the_last_call)
{
    struct question_plan plan = of(STRATEGY_SEQUENTIAL, 2);
    plan.turn_count = plan.skipped = 3;
    plan.alone = true;
    for (int good = 0; good < 2; good++) {
        struct story story = begin(plan);
        struct question_outcome end;
        cr_expect_eq(starts(&story, A).skipped, 3);
        ends(&story, A, good ? QUESTION_GOOD : QUESTION_UNEXPLAINED, good ? ERROR_NONE : ERROR_PERMANENT);
        over(&story, good ? QUESTION_WON : QUESTION_LOST, &end);
        cr_expect_eq(end.alone, good != 0);
    }
}

/* ---- permits ---- */

Test(question, who_has_no_permit_is_passed_over_and_remembered)
{
    struct story story = begin(of(STRATEGY_SEQUENTIAL, 3));
    struct question_outcome end;
    is_held_up(&story, A);
    starts(&story, B);
    fails(&story, B);
    is_held_up(&story, C);
    over(&story, QUESTION_LOST, &end);
    cr_expect(end.held_up);
    cr_expect_eq(end.held_up_provider, A, "the most preferred");
    cr_expect_eq(end.reported, 0);
}

Test(question, a_repeat_without_a_permit_goes_before_the_preferred)
{
    struct question_plan plan = of(STRATEGY_SEQUENTIAL, 2);
    plan.turn_count = 2;
    struct story story = begin(plan);
    struct question_outcome end;
    is_held_up(&story, A);
    starts(&story, B);
    too_long(&story, B, 1);
    is_held_up(&story, B);
    over(&story, QUESTION_LOST, &end);
    cr_expect_eq(end.held_up_provider, B);
    cr_expect_eq(end.held_up_skipped, 1);
}

/* ---- whose text is published ---- */

Test(question, the_first_to_speak_is_heard_until_it_fails)
{
    struct story story = begin(of(STRATEGY_RACE, 3));
    struct question_outcome end;
    int64_t try = -1;
    for (size_t p = 0; p < 3; p++)
        starts(&story, p);
    cr_expect(question_text(story.question, B, &try) && try == 0);
    cr_expect_not(question_text(story.question, A, &try));
    cr_expect(question_text(story.question, B, &try) && try == 0);
    fails(&story, B);
    cr_expect(question_text(story.question, A, &try) && try == 1);
    ends(&story, C, QUESTION_GOOD, ERROR_NONE);
    cr_expect_not(question_text(story.question, A, &try), "all is decided");
    drops(&story, A);
    over(&story, QUESTION_WON, &end);
    cr_expect_not(end.was_heard);
    cr_expect_eq(end.final_try, 2);
}

/* Replayed by its seed. */
Test(question, random_events_hold_against_the_model)
{
    uint8_t data[160];
    for (unsigned seed = 0; seed < 60000; seed++) {
        unsigned random = seed;
        size_t size = 8 + (size_t)rand_r(&random) % (sizeof data - 8);
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)(rand_r(&random) >> 8);
        const char *why = question_model_play(data, size);
        cr_assert_null(why, "seed %u: doesn't hold: %s", seed, why);
    }
}
