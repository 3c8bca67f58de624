/* When the time to shut down is over. */
#include <criterion/criterion.h>

#include "service/end_watch.h"

enum { DRAIN = 60000, CLOSE = 14000, NOW = 1000000 };

static struct end_watch at_step(enum end_step step)
{
    struct end_watch watch = end_watch_new(DRAIN, CLOSE);
    end_watch_step(&watch, step, NOW);
    return watch;
}

static void expect_end_by(const struct end_watch *watch, int64_t end_by_ms, const char *what)
{
    cr_expect_eq(end_watch_verdict(watch, end_by_ms - 1), END_NOT_YET, "%s: not before", what);
    cr_expect_eq(end_watch_verdict(watch, end_by_ms), END_TIME_IS_UP, "%s: then", what);
}

Test(end_watch, nobody_wants_it_to_end)
{
    struct end_watch watch = at_step(END_SERVE);
    cr_expect_eq(end_watch_verdict(&watch, INT64_MAX - 1), END_NOT_YET);
}

Test(end_watch, the_first_word_gives_it_the_time_of_its_step)
{
    static const struct {
        enum end_step step;
        int64_t after_ms;
        const char *what;
    } cases[] = {
        {END_START, CLOSE, "a start has nothing to drain"},
        {END_SERVE, DRAIN + CLOSE, "though the main thread may not hear of it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct end_watch watch = at_step(cases[i].step);
        end_watch_signalled(&watch, NOW);
        expect_end_by(&watch, NOW + cases[i].after_ms, cases[i].what);
    }
}

Test(end_watch, a_second_word_ends_it_in_every_step)
{
    for (enum end_step step = END_START; step < END_STEP_COUNT; step++) {
        struct end_watch watch = at_step(step);
        end_watch_signalled(&watch, NOW);
        cr_expect_eq(end_watch_verdict(&watch, NOW), END_NOT_YET, "%s", end_step_name(step));
        end_watch_signalled(&watch, NOW);
        cr_expect_eq(end_watch_verdict(&watch, NOW), END_AT_ONCE, "%s", end_step_name(step));
    }
}

Test(end_watch, the_end_of_the_drain_begins_the_close)
{
    struct end_watch watch = at_step(END_SERVE);
    end_watch_signalled(&watch, NOW);
    end_watch_step(&watch, END_DRAIN, NOW + 5);
    expect_end_by(&watch, NOW + 5 + DRAIN + CLOSE, "in the drain");
    end_watch_step(&watch, END_RELEASE, NOW + 100);
    expect_end_by(&watch, NOW + 100 + CLOSE, "a drain that is done early leaves no more for the rest");
    for (enum end_step step = END_GROUP; step < END_STEP_COUNT; step++) {
        end_watch_step(&watch, step, NOW + 200 + step);
        expect_end_by(&watch, NOW + 100 + CLOSE, "all that follows shares it");
    }
}

Test(end_watch, what_was_never_told_and_ends_of_itself_has_a_bound_too)
{
    struct end_watch watch = at_step(END_START); /* a start that failed */
    end_watch_step(&watch, END_THREADS, NOW);
    expect_end_by(&watch, NOW + CLOSE, "its parts are taken apart");
    end_watch_signalled(&watch, NOW + 10);
    expect_end_by(&watch, NOW + CLOSE, "a first word then gives it no more");
}

Test(end_watch, the_shares_are_in_order_and_leave_something)
{
    static const int64_t closes[] = {1000, CLOSE, 3600000};
    for (size_t i = 0; i < sizeof closes / sizeof *closes; i++) {
        cr_expect_gt(end_share_ms(END_RELEASE, closes[i]), 0);
        cr_expect_lt(end_share_ms(END_RELEASE, closes[i]), end_share_ms(END_GROUP, closes[i]));
        cr_expect_lt(end_share_ms(END_GROUP, closes[i]), end_share_ms(END_COMPLETION, closes[i]));
        cr_expect_lt(end_share_ms(END_COMPLETION, closes[i]), closes[i]);
    }
}
