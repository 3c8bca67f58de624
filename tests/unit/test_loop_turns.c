/* The length of an event loop's turns, as the metric says it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "telemetry/loop_turns.h"
#include "telemetry/watchdog.h"

static char text[8192]; /* the page */

static void print(void)
{
    memset(text, 0, sizeof text);
    FILE *out = fmemopen(text, sizeof text - 1, "w");
    loop_turns_print(out);
    fclose(out);
}

static long long value_of(const char *line)
{
    const char *at = strstr(text, line);
    return at != NULL ? strtoll(at + strlen(line), NULL, 10) : -1;
}

static void turn_for(int64_t ms)
{
    loop_turn_begin(TURN_SOCKET);
    for (int64_t until_us = clock_mono_us() + ms * 1000; clock_mono_us() < until_us;)
        ;
    loop_turn_end();
}

Test(loop_turns, without_a_loop_there_is_no_metric)
{
    print();
    cr_expect_str_eq(text, "");
}

Test(loop_turns, a_long_turn_counts_above_its_bound_and_a_nested_one_with_its_outer)
{
    turn_for(21);
    loop_turn_begin(TURN_INBOX);
    turn_for(0);
    loop_turn_end();
    print();
    cr_expect_eq(value_of("chat_loop_turn_seconds_count{callback=\"socket\"} "), 1, "%s", text);
    cr_expect_eq(value_of("chat_loop_turn_seconds_bucket{callback=\"socket\",le=\"0.02\"} "), 0, "the long one isn't one of them: %s", text);
    cr_expect_eq(value_of("chat_loop_turn_seconds_bucket{callback=\"socket\",le=\"+Inf\"} "), 1, "%s", text);
    cr_expect_eq(value_of("chat_loop_turn_seconds_count{callback=\"inbox\"} "), 1, "%s", text);
    cr_expect_null(strstr(text, "\"timer\""), "it had none: %s", text);
    cr_expect_eq(value_of("# TYPE chat_loop_turn_seconds histogram\n"), 0);
    cr_expect_null(strstr(strstr(text, "# TYPE") + 1, "# TYPE"), "one family: %s", text);
    loop_turns_clear();
}

/* After a day of work its rate would be told in steps of tenths of a second otherwise. */
Test(loop_turns, the_sum_is_told_to_the_microsecond_however_large_it_is)
{
    turn_for(1);
    print();
    const char *sum = strstr(text, "chat_loop_turn_seconds_sum{callback=\"socket\"} ");
    cr_assert_not_null(sum);
    cr_expect_eq(strspn(strchr(sum, '.') + 1, "0123456789"), 6, "%s", sum);
    loop_turns_clear();
}

Test(loop_turns, a_turn_that_does_not_end_is_the_watchdog_s)
{
    static const struct settings settings = {.worker = {.stuck_after_ms = 2 * WATCHDOG_LOOK_MS}, .redis = {.timeout_ms = 100}};
    struct watchdog watchdog = {0};
    loop_turns_are_of(3);
    turn_for(0);
    for (int look = 1; look <= 9; look++)
        watchdog_look(&watchdog, look * WATCHDOG_LOOK_MS);
    cr_expect_eq(watchdog_stuck(&watchdog, &settings, 0), WATCHED_COUNT, "it waits for something to do");
    loop_turn_begin(TURN_SOCKET);
    for (int look = 10; look <= 19; look++)
        watchdog_look(&watchdog, look * WATCHDOG_LOOK_MS);
    cr_expect_str_eq(watchdog_name(watchdog_stuck(&watchdog, &settings, 0)), "chat-loop-3");
    loop_turn_end();
    watchdog_look(&watchdog, 20 * WATCHDOG_LOOK_MS);
    cr_expect_eq(watchdog_stuck(&watchdog, &settings, 0), WATCHED_COUNT);
}
