/* Fetching of contexts: its rules as stories, and random ends checked against invariants. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "llm/context_steps.h"

static void expect_step(struct context_steps *steps, enum context_action action, size_t source)
{
    struct context_step step = context_next(steps);
    cr_assert_eq(step.action, action, "action %d, not %d", step.action, action);
    cr_assert_eq(step.source, source);
}

Test(context_steps, together_all_are_asked_at_once)
{
    struct context_steps steps;
    context_steps_init(&steps, 3, CONTEXT_TOGETHER);
    for (size_t i = 0; i < 3; i++)
        expect_step(&steps, CONTEXT_START, i);
    expect_step(&steps, CONTEXT_WAIT, 0);
    for (size_t i = 3; i-- > 0;)
        cr_expect(context_ended(&steps, i, false));
    expect_step(&steps, CONTEXT_DONE, 0);
}

Test(context_steps, in_turn_one_after_another)
{
    struct context_steps steps;
    context_steps_init(&steps, 2, CONTEXT_IN_TURN);
    for (size_t i = 0; i < 2; i++) {
        expect_step(&steps, CONTEXT_START, i);
        expect_step(&steps, CONTEXT_WAIT, 0);
        context_ended(&steps, i, false);
    }
    expect_step(&steps, CONTEXT_DONE, 0);
}

Test(context_steps, what_ends_the_job_cuts_the_others_short)
{
    struct context_steps steps;
    context_steps_init(&steps, 3, CONTEXT_TOGETHER);
    for (size_t i = 0; i < 3; i++)
        expect_step(&steps, CONTEXT_START, i);
    cr_expect(context_ended(&steps, 1, true));
    cr_expect_not(context_ended(&steps, 2, true), "decided before");
    expect_step(&steps, CONTEXT_DROP, 0);
    expect_step(&steps, CONTEXT_FAILED, 0);
}

Test(context_steps, what_ends_the_job_at_its_start_lets_no_other_begin)
{
    struct context_steps steps;
    context_steps_init(&steps, 2, CONTEXT_TOGETHER);
    expect_step(&steps, CONTEXT_START, 0);
    context_ended(&steps, 0, true);
    expect_step(&steps, CONTEXT_FAILED, 0);
}

/* Replayed by its seed. */
Test(context_steps, whatever_happens_each_start_ends_once_and_it_is_over_once)
{
    for (unsigned seed = 0; seed < 20000; seed++) {
        unsigned random = seed;
        size_t count = 1 + (size_t)rand_r(&random) % CONTEXTS_MAX, running = 0, started = 0, guard = 0;
        enum context_fetch fetching = rand_r(&random) % 2 ? CONTEXT_TOGETHER : CONTEXT_IN_TURN;
        enum { NEW, RUNS, ENDED } places[CONTEXTS_MAX] = {NEW};
        bool ended_job = false, cancelled = false, over = false;
        struct context_steps steps;
        context_steps_init(&steps, count, fetching);
        while (!over) {
            cr_assert_lt(guard++, 100000, "seed %u: it never ends", seed);
            struct context_step step = context_next(&steps);
            bool decided = ended_job || cancelled;
            switch (step.action) {
            case CONTEXT_START:
                cr_assert(!decided && step.source == started && places[step.source] == NEW, "seed %u: each once, in order", seed);
                cr_assert(fetching == CONTEXT_TOGETHER || running == 0, "seed %u", seed);
                places[step.source] = RUNS;
                started++;
                running++;
                break;
            case CONTEXT_WAIT:
                cr_assert(!decided && running > 0 && (started == count || fetching == CONTEXT_IN_TURN), "seed %u", seed);
                break;
            case CONTEXT_DROP:
                cr_assert(decided && places[step.source] == RUNS, "seed %u", seed);
                places[step.source] = ENDED;
                running--;
                break;
            case CONTEXT_DONE:
                cr_assert(!decided && running == 0 && started == count, "seed %u", seed);
                over = true;
                break;
            case CONTEXT_FAILED:
                cr_assert(decided && running == 0, "seed %u", seed);
                over = true;
                break;
            }
            if (!over && step.action != CONTEXT_DROP && rand_r(&random) % 3 == 0) {
                size_t source = (size_t)rand_r(&random) % count;
                if (rand_r(&random) % 20 == 0) {
                    context_cancel(&steps);
                    cancelled = true;
                } else if (places[source] == RUNS) {
                    bool ends_job = rand_r(&random) % 5 == 0;
                    cr_assert_eq(context_ended(&steps, source, ends_job), !ended_job && !cancelled, "seed %u", seed);
                    ended_job = ended_job || (ends_job && !cancelled);
                    places[source] = ENDED;
                    running--;
                }
            }
        }
    }
}
