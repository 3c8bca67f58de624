/* What the page /lanes is told: lanes that are on, bars since it last asked, what the numbers mean; and for how long it is recorded. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "service/lanes_json.h"
#include "service/threads_json.h"
#include "telemetry/metrics.h"
#include "telemetry/steps.h"

#define NOW_US 100000000

static json_t *ask(int64_t since_us, int64_t now_us)
{
    struct json_writer out = {0};
    json_error_t why;
    lanes_json_write(&out, since_us, now_us);
    json_t *answer = json_loads(out.text, 0, &why);
    cr_assert_not_null(answer, "%s: %s", why.text, out.text);
    free(out.text);
    return answer;
}

static json_int_t at(const json_t *array, size_t index)
{
    return json_integer_value(json_array_get(array, index));
}

static const char *text_at(const json_t *answer, const char *array, json_int_t index)
{
    return json_string_value(json_array_get(json_object_get(answer, array), (size_t)index));
}

/* The bars of the only ring that has any. */
static const json_t *bars_of(const json_t *answer, json_int_t ring, json_int_t first)
{
    const json_t *rings = json_object_get(answer, "rings");
    cr_assert_eq(json_array_size(rings), 1);
    const json_t *only = json_array_get(rings, 0);
    cr_expect_eq(at(only, 0), ring);
    cr_expect_eq(at(only, 1), first);
    return json_array_get(only, 2);
}

static void run_a_job(int lane, int64_t offset, int64_t at_us)
{
    steps_take(lane, 2, offset, "done", at_us);
    steps_before(lane, STEP_QUEUED, "turn", at_us - 5000000, at_us - 10);
    steps_enter(lane, STEP_ASK, "main", at_us + 10);
    steps_leave(lane, at_us + 1000);
}

Test(lanes_json, lanes_that_have_a_job_are_on)
{
    steps_start(3, STEPS_THREADS);
    steps_take(1, 2, 77, "running", NOW_US - 5000);
    steps_enter(1, STEP_ASK, "main", NOW_US - 4000);
    json_t *answer = ask(0, NOW_US);
    const json_t *on = json_object_get(answer, "on");
    cr_assert_eq(json_array_size(on), 6, "one lane");
    cr_expect_eq(at(on, 0), 1);
    cr_expect_str_eq(text_at(answer, "steps", at(on, 1)), "ask");
    cr_expect_str_eq(text_at(answer, "names", at(on, 2)), "main");
    const json_t *job = json_array_get(json_object_get(answer, "jobs"), (size_t)at(on, 3));
    cr_expect_eq(at(job, 0), 2);
    cr_expect_eq(at(job, 1), 77);
    cr_expect_str_eq(json_string_value(json_array_get(job, 2)), "running");
    cr_expect_eq(at(on, 4), 4000);
    cr_expect_eq(at(on, 5), 5000);
    cr_expect_eq(json_array_size(json_object_get(answer, "rings")), 0);
    cr_expect_gt(json_integer_value(json_object_get(answer, "began")), 0);
    cr_expect_eq(json_integer_value(json_object_get(answer, "began")), steps_began_us(), "the same for each answer");
    json_decref(answer);
}

Test(lanes_json, bars_since_the_last_question_are_told)
{
    steps_start(3, STEPS_THREADS);
    steps_want(STEPS_FOR_PAGE, true);
    run_a_job(2, 1, NOW_US - 3000000);
    run_a_job(2, 2, NOW_US - 1000000);
    json_t *answer = ask(NOW_US - 2000000, NOW_US);
    const json_t *bars = bars_of(answer, 2, 2);
    cr_assert_eq(json_array_size(bars), 2 * 7, "the later job's: in line, whenever that was, and at the model");
    cr_expect_eq(at(bars, 0), 0);
    cr_expect_eq(at(bars, 1), 2);
    cr_expect_eq(at(bars, 2), 100 + STEP_QUEUED, "not the lane's time");
    cr_expect_str_eq(text_at(answer, "names", at(bars, 3)), "turn");
    cr_expect_eq(at(bars, 5), 1000010);
    cr_expect_eq(at(bars, 6), 4999990);
    cr_expect_eq(at(bars, 7), 1, "the next one");
    cr_expect_eq(at(bars, 7 + 2), STEP_ASK);
    cr_expect_eq(at(bars, 7 + 4), at(bars, 4), "the same job");
    cr_expect_eq(at(bars, 7 + 5), 999000);
    cr_expect_eq(at(bars, 7 + 6), 990);
    json_decref(answer);
    answer = ask(0, NOW_US);
    cr_expect_eq(json_array_size(bars_of(answer, 2, 0)), 4 * 7, "all that there is");
    json_decref(answer);
    answer = ask(0, NOW_US + PAGE_LOOKS_BACK_US + 10000000);
    cr_expect_eq(json_array_size(json_object_get(answer, "rings")), 0, "that is too long ago");
    json_decref(answer);
}

Test(lanes_json, it_is_recorded_for_a_while_after_each_question)
{
    steps_start(3, STEPS_THREADS);
    lanes_json_look(NOW_US);
    cr_expect_not(steps_are_wanted());
    json_decref(ask(0, NOW_US));
    lanes_json_look(NOW_US + PAGE_LEASE_MS * 1000 - 1);
    cr_expect(steps_are_wanted());
    json_decref(ask(0, NOW_US + 3000000));
    lanes_json_look(NOW_US + PAGE_LEASE_MS * 1000);
    cr_expect(steps_are_wanted(), "asked again");
    lanes_json_look(NOW_US + 3000000 + PAGE_LEASE_MS * 1000);
    cr_expect_not(steps_are_wanted());
}

/* A job is counted no more when completion is through with it: for a moment its lane may still have it. */
Test(lanes_json, no_fewer_than_none_are_without_a_lane)
{
    size_t size;
    json_error_t why;
    steps_start(3, STEPS_THREADS);
    steps_take(1, 2, 77, "running", NOW_US);
    METRIC_SET(jobs_alive, 0);
    char *text = threads_json(NOW_US, &size);
    json_t *answer = json_loads(text, 0, &why);
    cr_assert_not_null(answer, "%s: %s", why.text, text);
    cr_expect_eq(json_integer_value(json_object_get(answer, "without_lane")), 0, "%s", text);
    METRIC_SET(jobs_alive, 3);
    free(text);
    json_decref(answer);
    answer = json_loads(text = threads_json(NOW_US, &size), 0, &why);
    cr_expect_eq(json_integer_value(json_object_get(answer, "without_lane")), 2, "%s", text);
    free(text);
    json_decref(answer);
}
