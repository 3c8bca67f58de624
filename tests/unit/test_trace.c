/* A trace has each bar once, in the form that Perfetto reads; it says what was lost, and what wasn't over. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "telemetry/trace.h"

static char *text;
static size_t size;
static FILE *out;
static struct trace *trace;
static struct trace_sums sums;

static void begin(int lanes, enum steps_engine engine, uint64_t bytes_max)
{
    struct error err;
    steps_start(lanes, engine);
    out = open_memstream(&text, &size);
    cr_assert_eq(trace_start(out, STEPS_FOR_FILE, bytes_max, &trace, &err), STATUS_OK);
}

static json_t *end(void)
{
    json_error_t why;
    trace_stop(trace, &sums);
    fclose(out);
    cr_expect_not(steps_are_wanted());
    json_t *events = json_loads(text, 0, &why);
    cr_assert_not_null(events, "%s: %s", why.text, text);
    return events;
}

static const char *text_of(const json_t *event, const char *name)
{
    const char *value = json_string_value(json_object_get(event, name));
    return value != NULL ? value : "";
}

/* The number-th event of this kind and name; NULL: there is none. */
static const json_t *find(const json_t *events, const char *kind, const char *name, int number)
{
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        if (strcmp(text_of(event, "ph"), kind) == 0 && strncmp(text_of(event, "name"), name, strlen(name)) == 0 && number-- == 0)
            return event;
    }
    return NULL;
}

static json_int_t number_of(const json_t *event, const char *name)
{
    return json_integer_value(json_object_get(event, name));
}

static void run_a_job(void)
{
    steps_take(1, 3, 17, "job \"17\"", 2000);
    steps_before(1, STEP_QUEUED, "turn", 1000, 1900);
    steps_enter(1, STEP_ASK, "main", 2100);
    steps_leave(1, 5000);
    steps_put(STEPS_OF_COMPLETION, &(struct step_bar){.step = STEP_PUBLISH, .lane = 1, .waits_for = "kafka", .from_us = 5000, .until_us = 6000, .job = {.partition = 3, .offset = 17, .id = "j"}});
}

Test(trace, threads_have_tracks_and_what_is_not_their_time_is_the_jobs)
{
    begin(4, STEPS_THREADS, UINT64_MAX);
    run_a_job();
    json_t *events = end();
    const json_t *ask = find(events, "X", "ask", 1); /* after it prepared the question */
    cr_assert_not_null(ask, "%s", text);
    cr_expect_eq(number_of(ask, "ts"), 2100);
    cr_expect_eq(number_of(ask, "dur"), 2900);
    cr_expect_eq(number_of(ask, "tid"), 2);
    const json_t *args = json_object_get(ask, "args");
    cr_expect_str_eq(text_of(args, "job"), "job \"17\"");
    cr_expect_str_eq(text_of(args, "waits_for"), "main");
    cr_expect_eq(number_of(args, "partition"), 3);
    cr_expect_eq(number_of(args, "offset"), 17);
    const json_t *name = find(events, "M", "thread_name", 0);
    cr_expect_eq(number_of(name, "tid"), 2);
    cr_expect_str_eq(text_of(json_object_get(name, "args"), "name"), "chat-1");
    cr_expect_null(find(events, "M", "thread_name", 1), "only those that have bars");
    const json_t *queued = find(events, "b", "queued", 0), *queued_end = find(events, "e", "queued", 0), *publish = find(events, "b", "publish", 0);
    cr_expect_eq(number_of(queued, "ts"), 1000);
    cr_expect_eq(number_of(queued_end, "ts"), 1900);
    cr_expect_str_eq(text_of(queued, "id"), "3:17");
    cr_expect_str_eq(text_of(queued_end, "id"), "3:17");
    cr_expect_str_eq(text_of(publish, "id"), "3:17");
    cr_expect_eq(sums.bars, 4);
    cr_expect_eq(sums.lost, 0);
    cr_expect_not(sums.failed);
    json_decref(events);
}

Test(trace, a_loops_slots_are_spans_of_the_jobs)
{
    begin(4, STEPS_LOOP, UINT64_MAX);
    run_a_job();
    json_t *events = end();
    cr_expect_null(find(events, "X", "", 0));
    cr_expect_null(find(events, "M", "thread_name", 0));
    const json_t *ask = find(events, "b", "ask", 1), *ask_end = find(events, "e", "ask", 1);
    cr_expect_eq(number_of(ask, "ts"), 2100);
    cr_expect_eq(number_of(ask_end, "ts"), 5000);
    cr_expect_str_eq(text_of(ask, "id"), "3:17");
    json_decref(events);
}

/* Each bar says whose it is, whatever the one before was: jobs that differ by one thing alone. */
Test(trace, bars_of_different_jobs_and_lanes_follow_each_other)
{
    static const struct step_job jobs[] = {{.partition = 3, .offset = 17, .id = "a"}, {.partition = 3, .offset = 18, .id = "a"}, {.partition = 4, .offset = 18, .id = "a"},
                                           {.partition = 4, .offset = 18, .id = "b"}, {.partition = 3, .offset = 17, .id = "a"}};
    enum { JOBS = sizeof jobs / sizeof *jobs };
    begin(JOBS, STEPS_THREADS, UINT64_MAX);
    for (int i = 0; i < JOBS; i++) {
        steps_put(STEPS_OF_COMPLETION, &(struct step_bar){.step = STEP_FINISH, .lane = i, .from_us = 10 * i + 1, .until_us = 10 * i + 2, .job = jobs[i]});
        steps_take(i, jobs[i].partition, jobs[i].offset, jobs[i].id, 100 * i + 100);
        steps_enter(i, STEP_ASK, "main", 100 * i + 110);
        steps_leave(i, 100 * i + 150);
    }
    json_t *events = end();
    for (int i = 0; i < JOBS; i++) {
        char id[32];
        snprintf(id, sizeof id, "%d:%d", (int)jobs[i].partition, (int)jobs[i].offset);
        const json_t *from = find(events, "b", "finish", i), *to = find(events, "e", "finish", i), *ask;
        for (int number = 0; (ask = find(events, "X", "ask", number)) != NULL && number_of(ask, "ts") != 100 * i + 110;)
            number++; /* rings are taken while lanes run: in any order */
        cr_assert_not_null(ask, "%s", text);
        cr_expect_str_eq(text_of(from, "id"), id);
        cr_expect_str_eq(text_of(to, "id"), id);
        cr_expect_eq(number_of(from, "ts"), 10 * i + 1);
        cr_expect_eq(number_of(to, "ts"), 10 * i + 2);
        cr_expect_str_eq(text_of(json_object_get(from, "args"), "job"), jobs[i].id);
        cr_expect_eq(number_of(ask, "tid"), i + 1);
        cr_expect_eq(number_of(json_object_get(ask, "args"), "partition"), jobs[i].partition);
        cr_expect_eq(number_of(json_object_get(ask, "args"), "offset"), jobs[i].offset);
    }
    json_decref(events);
}

Test(trace, what_is_waited_for_has_a_bounded_name)
{
    static char name[100000];
    memset(name, 'n', sizeof name - 1);
    begin(1, STEPS_LOOP, UINT64_MAX);
    for (int i = 0; i < 2; i++) {
        steps_take(0, INT32_MAX, INT64_MAX, "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
                                            "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", INT64_MAX - 100 + 10 * i);
        steps_enter(0, STEP_CONTEXT, name, INT64_MAX - 99 + 10 * i);
        steps_leave(0, INT64_MAX - 95 + 10 * i);
    }
    json_t *events = end();
    cr_expect_eq(strlen(text_of(json_object_get(find(events, "b", "context", 0), "args"), "waits_for")), 256);
    cr_expect_eq(number_of(find(events, "e", "context", 1), "ts"), INT64_MAX - 85);
    json_decref(events);
}

Test(trace, ids_are_json_whatever_they_hold)
{
    static const char *const ids[] = {"plain", "a \"quote\" and a \\", "tab\tand\x01", "caf\xc3\xa9", "", "cut \xe2\x82"};
    static const char *const read[] = {"plain", "a \"quote\" and a \\", "tab\tand\x01", "caf\xc3\xa9", "", "cut ??"};
    begin(1, STEPS_THREADS, UINT64_MAX);
    for (int i = 0; i < 6; i++) {
        steps_take(0, 0, i, ids[i], 1000 * i + 1);
        steps_enter(0, STEP_BEGIN, "redis", 1000 * i + 100);
        steps_leave(0, 1000 * i + 200);
    }
    json_t *events = end();
    for (int i = 0; i < 6; i++)
        cr_expect_str_eq(text_of(json_object_get(find(events, "X", "begin", i), "args"), "job"), read[i]);
    json_decref(events);
}

Test(trace, times_are_numbers_to_the_microsecond)
{
    static const int64_t times[] = {1, 999999, 1000000, 1000001, 1999999, 59000010, 59100000, 1234567890123};
    begin(1, STEPS_THREADS, UINT64_MAX);
    for (int i = 0; i < 8; i++)
        steps_before(0, STEP_QUEUED, NULL, times[i], times[i] + 1);
    json_t *events = end();
    for (int i = 0; i < 8; i++) {
        cr_expect_eq(number_of(find(events, "b", "queued", i), "ts"), times[i]);
        cr_expect_eq(number_of(find(events, "e", "queued", i), "ts"), times[i] + 1);
    }
    json_decref(events);
}

Test(trace, what_is_not_over_is_there_to_the_end)
{
    begin(4, STEPS_THREADS, UINT64_MAX);
    int64_t now_us = clock_mono_us();
    steps_take(2, 0, 1, "held", now_us - 2000);
    steps_enter(2, STEP_ASK, "main", now_us - 1000);
    json_t *events = end();
    const json_t *ask = find(events, "X", "ask", 1); /* after it prepared the question */
    cr_assert_not_null(ask, "%s", text);
    cr_expect_eq(number_of(ask, "ts"), now_us - 1000);
    cr_expect_geq(number_of(ask, "dur"), 1000);
    cr_expect(json_is_true(json_object_get(json_object_get(ask, "args"), "unfinished")));
    json_decref(events);
}

Test(trace, bars_from_before_it_are_not_in_it)
{
    steps_start(4, STEPS_THREADS);
    steps_want(STEPS_FOR_PAGE, true);
    run_a_job();
    struct error err;
    out = open_memstream(&text, &size);
    cr_assert_eq(trace_start(out, STEPS_FOR_FILE, UINT64_MAX, &trace, &err), STATUS_OK);
    trace_stop(trace, &sums);
    fclose(out);
    cr_expect_eq(sums.bars, 0);
    cr_expect_eq(sums.lost, 0);
    cr_expect(steps_are_wanted(), "the page's wish is its own");
}

/* The sum of what its events say was lost. */
static unsigned long long said_lost(const json_t *events)
{
    unsigned long long said = 0;
    for (int i = 0; find(events, "i", "", i) != NULL; i++)
        said += strtoull(text_of(find(events, "i", "", i), "name"), NULL, 10);
    return said;
}

/* More bars at once than the ring holds, faster than the trace's thread looks. */
Test(trace, it_says_how_many_bars_were_lost)
{
    begin(1, STEPS_THREADS, UINT64_MAX);
    uint64_t put = 20 * steps_size(0);
    for (uint64_t i = 0; i < put; i++)
        steps_before(0, STEP_QUEUED, NULL, (int64_t)i + 1, (int64_t)i + 2);
    json_t *events = end();
    cr_expect_eq(sums.bars + sums.lost, put, "%d and %d", (int)sums.bars, (int)sums.lost);
    cr_expect_eq(said_lost(events), sums.lost, "%s", text);
    json_decref(events);
}

Test(trace, it_ends_where_its_bytes_do)
{
    begin(4, STEPS_THREADS, 700);
    for (int i = 0; i < 10; i++)
        run_a_job();
    json_t *events = end();
    cr_expect_gt(sums.bars, 0);
    cr_expect_eq(sums.bars + sums.lost, 40);
    cr_expect_eq(said_lost(events), sums.lost, "%s", text);
    cr_expect_lt(size, 700 + 1000, "one bar more, and its end");
    json_decref(events);
}

/* What a full trace loses takes no room, either: thousands of rings lose bars here. */
Test(trace, it_ends_where_its_bytes_do_whatever_is_lost)
{
    begin(5000, STEPS_LOOP, 700);
    uint64_t each = 3 * steps_size(0);
    for (int lane = 0; lane < 5000; lane++)
        for (uint64_t i = 0; i < each; i++)
            steps_before(lane, STEP_QUEUED, NULL, (int64_t)i + 1, (int64_t)i + 2);
    json_t *events = end();
    cr_expect_eq(sums.bars + sums.lost, 5000 * each);
    cr_expect_eq(said_lost(events), sums.lost);
    cr_expect_lt(size, 700 + 1000, "%zu bytes", size);
    json_decref(events);
}
