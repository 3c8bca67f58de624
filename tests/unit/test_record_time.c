/* How old a record is by its timestamp, and which timestamps are absurd. */
#include <criterion/criterion.h>
#include <stdint.h>

#include "wire/record_time.h"

#define NOW INT64_C(1800000000000) /* 2027 */
#define DAY INT64_C(86400000)

static const struct {
    int64_t timestamp_ms;
    enum record_time_fault fault;
    int64_t age_ms;
} rows[] = {
    {NOW, RECORD_TIME_FINE, 0},
    {NOW - 1, RECORD_TIME_FINE, 1},
    {NOW - 400 * DAY, RECORD_TIME_FINE, 400 * DAY},
    {INT64_C(946684800000), RECORD_TIME_FINE, NOW - INT64_C(946684800000)},
    {-1, RECORD_TIME_NONE, 0},
    {INT64_MIN, RECORD_TIME_NONE, 0},
    {NOW + 1, RECORD_TIME_AHEAD, 0},
    {NOW + DAY, RECORD_TIME_AHEAD, 0},
    {NOW + DAY + 1, RECORD_TIME_DAYS_AHEAD, 0},
    {NOW + 4000 * DAY, RECORD_TIME_DAYS_AHEAD, 0},
    {NOW / 1000, RECORD_TIME_SECONDS, NOW - NOW / 1000},
    {NOW / 1000 - 3600 * 24 * 400, RECORD_TIME_SECONDS, NOW - (NOW / 1000 - 3600 * 24 * 400)},
    {NOW / 1000 + 3600, RECORD_TIME_SECONDS, NOW - (NOW / 1000 + 3600)},
    {0, RECORD_TIME_BEFORE_2000, NOW},
    {INT64_C(946684799), RECORD_TIME_BEFORE_2000, NOW - INT64_C(946684799)},
    {INT64_C(946684799999), RECORD_TIME_BEFORE_2000, NOW - INT64_C(946684799999)},
    {NOW * 1000, RECORD_TIME_MICROSECONDS, 0},
    {(NOW - 3600) * 1000 + 7, RECORD_TIME_MICROSECONDS, 0},
    {NOW * 1000000, RECORD_TIME_NANOSECONDS, 0},
    {INT64_MAX, RECORD_TIME_DAYS_AHEAD, 0},
};

Test(record_time, a_timestamp_is_an_age_or_a_fault)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record_time time = record_time_look(rows[i].timestamp_ms, NOW);
        cr_expect_eq(time.fault, rows[i].fault, "%lld: %d", (long long)rows[i].timestamp_ms, time.fault);
        cr_expect_eq(time.age_ms, rows[i].age_ms, "%lld: %lld", (long long)rows[i].timestamp_ms, (long long)time.age_ms);
    }
}

Test(record_time, what_is_unknown_has_no_age_and_what_is_absurd_says_what_to_do)
{
    for (enum record_time_fault fault = RECORD_TIME_FINE; fault <= RECORD_TIME_DAYS_AHEAD; fault++) {
        cr_expect_eq(record_time_hint(fault)[0] != '\0', fault != RECORD_TIME_FINE);
        cr_expect_eq(record_time_is_absurd(fault), fault > RECORD_TIME_AHEAD);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (record_time_is_unknown(rows[i].fault))
            cr_expect_eq(rows[i].age_ms, 0);
}
