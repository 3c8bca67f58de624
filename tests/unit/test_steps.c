/* Rings of bars and cells of lanes: what is kept while it is wanted, what laps, what a reader is told. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "telemetry/steps.h"

#define LANES 4

static const char main_provider[] = "main";

static struct step_bar read(int ring, uint64_t number)
{
    struct step_bar bar;
    cr_assert(steps_read(ring, number, &bar), "bar %d of ring %d", (int)number, ring);
    return bar;
}

static void expect_bar(const struct step_bar *bar, enum step step, const char *waits_for, int64_t from_us, int64_t until_us)
{
    cr_expect_eq(bar->step, step, "%s, not %s", step_name(bar->step), step_name(step));
    cr_expect(waits_for == NULL ? bar->waits_for == NULL : bar->waits_for != NULL && strcmp(bar->waits_for, waits_for) == 0, "%s waits for %s", step_name(step),
              bar->waits_for != NULL ? bar->waits_for : "nobody");
    cr_expect_eq(bar->from_us, from_us);
    cr_expect_eq(bar->until_us, until_us);
}

static void run_a_job(int lane, int64_t offset, int64_t at_us)
{
    char id[16];
    snprintf(id, sizeof id, "j%d", (int)offset);
    steps_take(lane, 3, offset, id, at_us);
    steps_before(lane, STEP_QUEUED, "turn", at_us - 50, at_us - 20);
    steps_enter(lane, STEP_ASK, NULL, at_us + 5); /* as it is */
    steps_enter(lane, STEP_ASK, main_provider, at_us + 30);
    steps_enter(lane, STEP_FINISH, NULL, at_us + 900);
    steps_leave(lane, at_us + 1000);
}

Test(steps, before_the_start_the_hooks_do_nothing)
{
    struct lane_now now;
    steps_want(STEPS_FOR_PAGE, true);
    run_a_job(0, 1, 1000);
    cr_expect_eq(steps_lanes(), 0);
    cr_expect_eq(steps_rings(), 0);
    cr_expect_not(steps_now(0, &now));
}

Test(steps, a_job_leaves_a_bar_a_step)
{
    steps_start(LANES, STEPS_THREADS);
    steps_want(STEPS_FOR_PAGE, true);
    run_a_job(2, 7, 1000);
    cr_assert_eq(steps_count(2), 4);
    struct step_bar bars[4];
    for (uint64_t i = 0; i < 4; i++) {
        bars[i] = read(2, i);
        cr_expect_eq(bars[i].lane, 2);
        cr_expect_eq(bars[i].job.partition, 3);
        cr_expect_eq(bars[i].job.offset, 7);
        cr_expect_str_eq(bars[i].job.id, "j7");
        cr_expect_eq(bars[i].of_lane, i > 0, "what was in line took nothing of the lane's time");
    }
    expect_bar(&bars[0], STEP_QUEUED, "turn", 950, 980);
    expect_bar(&bars[1], STEP_ASK, NULL, 1000, 1030);
    expect_bar(&bars[2], STEP_ASK, "main", 1030, 1900);
    expect_bar(&bars[3], STEP_FINISH, NULL, 1900, 2000);
    for (int ring = 0; ring < steps_rings(); ring++)
        cr_expect(ring == 2 || steps_count(ring) == 0, "nothing in another's ring");
}

Test(steps, nothing_is_kept_that_nobody_wants_but_what_a_lane_does)
{
    struct lane_now now;
    steps_start(LANES, STEPS_THREADS);
    run_a_job(1, 7, 1000);
    cr_expect_eq(steps_count(1), 0);
    steps_take(1, 3, 8, "j8", 5000);
    steps_enter(1, STEP_ASK, "main", 5010);
    cr_assert(steps_now(1, &now));
    cr_expect_eq(now.step, STEP_ASK);
    cr_expect_str_eq(now.waits_for, "main");
    cr_expect_eq(now.since_us, 5010);
    cr_expect_eq(now.taken_us, 5000);
    cr_expect_str_eq(now.job.id, "j8");
    cr_expect_eq(now.job.offset, 8);
    steps_want(STEPS_FOR_FILE, true); /* in the middle of a step: all of it is kept */
    steps_leave(1, 6000);
    cr_assert_eq(steps_count(1), 1);
    struct step_bar bar = read(1, 0);
    expect_bar(&bar, STEP_ASK, "main", 5010, 6000);
    cr_assert(steps_now(1, &now));
    cr_expect_eq(now.step, STEP_NONE);
    cr_expect_eq(now.since_us, 6000);
}

Test(steps, a_moments_work_is_no_bar)
{
    steps_start(LANES, STEPS_THREADS);
    steps_want(STEPS_FOR_PAGE, true);
    steps_take(0, 0, 1, "j", 1000);
    steps_enter(0, STEP_ASK, main_provider, 1019);
    steps_enter(0, STEP_FINISH, NULL, 1020); /* a wait is one, however short */
    steps_enter(0, STEP_FINISH, "redis", 1040);
    steps_leave(0, 1041);
    cr_assert_eq(steps_count(0), 3);
    struct step_bar bars[3] = {read(0, 0), read(0, 1), read(0, 2)};
    expect_bar(&bars[0], STEP_ASK, "main", 1019, 1020);
    expect_bar(&bars[1], STEP_FINISH, NULL, 1020, 1040);
    expect_bar(&bars[2], STEP_FINISH, "redis", 1040, 1041);
}

Test(steps, it_is_wanted_until_nobody_wants_it)
{
    steps_want(STEPS_FOR_FILE, true);
    steps_want(STEPS_FOR_PAGE, true);
    steps_want(STEPS_FOR_PAGE, false);
    cr_expect(steps_are_wanted());
    steps_want(STEPS_FOR_PAGE, false);
    cr_expect(steps_are_wanted());
    steps_want(STEPS_FOR_FILE, false);
    cr_expect_not(steps_are_wanted());
}

Test(steps, a_full_ring_keeps_the_newest)
{
    struct step_bar bar;
    steps_start(LANES, STEPS_THREADS);
    steps_want(STEPS_FOR_PAGE, true);
    uint64_t size = steps_size(0);
    for (uint64_t i = 0; i < size; i++)
        steps_before(0, STEP_QUEUED, NULL, (int64_t)i + 1, (int64_t)i + 2);
    cr_expect_eq(read(0, 0).from_us, 1, "as long as there is room");
    for (uint64_t i = size; i < size + 3; i++)
        steps_before(0, STEP_QUEUED, NULL, (int64_t)i + 1, (int64_t)i + 2);
    cr_expect_eq(steps_count(0), size + 3);
    for (uint64_t i = 0; i < 3; i++)
        cr_expect_not(steps_read(0, i, &bar), "%d is written over", (int)i);
    for (uint64_t i = 3; i < size + 3; i++)
        cr_expect_eq(read(0, i).from_us, (int64_t)i + 1);
}

Test(steps, the_rings_of_all_lanes_have_a_bound_together)
{
    steps_start(5000, STEPS_LOOP);
    cr_expect_eq(steps_lanes(), 5000);
    cr_expect_eq(steps_engine(), STEPS_LOOP);
    cr_expect_geq(steps_size(0), 16, "two jobs");
    cr_expect_leq(steps_size(0) * 5000, 100000);
}

/* A loop may have 50,000 slots. */
Test(steps, of_lanes_beyond_those_with_bars_what_they_do_now_is_kept)
{
    enum { LAST = STEPS_LANES_MAX + 9 };
    struct lane_now now;
    steps_start(LAST + 1, STEPS_LOOP);
    cr_expect_eq(steps_lanes(), LAST + 1);
    cr_expect_eq(steps_lanes_with_bars(), STEPS_LANES_MAX);
    cr_expect_eq(steps_rings(), STEPS_LANES_MAX + STEPS_RINGS_BESIDE);
    steps_want(STEPS_FOR_PAGE, true);
    steps_take(LAST, 3, 17, "beyond", 1000);
    steps_enter(LAST, STEP_ASK, "main", 2000);
    steps_before(LAST, STEP_QUEUED, NULL, 500, 1000);
    steps_put(STEPS_OF_COMPLETION, &(struct step_bar){.step = STEP_FINISH, .lane = LAST, .from_us = 1, .until_us = 2});
    for (int ring = 0; ring < steps_rings(); ring++)
        cr_expect_eq(steps_count(ring), 0, "ring %d", ring);
    cr_assert(steps_now(LAST, &now));
    cr_expect_eq(now.step, STEP_ASK);
    cr_expect_str_eq(now.waits_for, "main");
    cr_expect_eq(now.since_us, 2000);
    cr_expect_eq(now.job.offset, 17);
    cr_expect_str_eq(now.job.id, "beyond");
}

Test(steps, a_bar_whose_begin_is_unknown_is_none)
{
    steps_start(LANES, STEPS_THREADS);
    steps_want(STEPS_FOR_PAGE, true);
    steps_take(0, 0, 0, "j", 100);
    steps_before(0, STEP_BEGIN, "redis", 0, 90);
    steps_put(STEPS_OF_COMPLETION, &(struct step_bar){.step = STEP_FINISH, .lane = 0, .from_us = 0, .until_us = 200});
    steps_put(STEPS_OF_COMPLETION, &(struct step_bar){.step = STEP_FINISH, .lane = -1, .from_us = 100, .until_us = 200});
    cr_expect_eq(steps_count(0), 0);
    cr_expect_eq(steps_count(LANES + STEPS_OF_COMPLETION), 0, "of no lane: it never ran");
    steps_put(STEPS_OF_COMPLETION, &(struct step_bar){.step = STEP_FINISH, .lane = 3, .from_us = 100, .until_us = 200, .job = {.id = "ended", .offset = 5}});
    cr_assert_eq(steps_count(LANES + STEPS_OF_COMPLETION), 1);
    struct step_bar bar = read(LANES + STEPS_OF_COMPLETION, 0);
    cr_expect_eq(bar.lane, 3);
    cr_expect_str_eq(bar.job.id, "ended");
    cr_expect_not(bar.of_lane);
}

Test(steps, a_long_id_is_cut)
{
    char id[257];
    struct lane_now now;
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    steps_start(LANES, STEPS_THREADS);
    for (int length = 0; length < 256; length++) {
        steps_take(0, 0, 0, id + 256 - length, 100);
        cr_assert(steps_now(0, &now));
        cr_expect_eq(strlen(now.job.id), (size_t)(length < STEP_ID_BYTES ? length : STEP_ID_BYTES - 1), "of %d", length);
    }
}
