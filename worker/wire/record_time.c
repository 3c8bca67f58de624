#include "wire/record_time.h"

#define YEAR_2000_MS INT64_C(946684800000)
#define DAY_MS INT64_C(86400000)

/* Is this moment plausible? */
static bool is_plausible(int64_t wall_ms, int64_t seen_ms)
{
    return wall_ms >= YEAR_2000_MS && wall_ms <= seen_ms + DAY_MS;
}

static enum record_time_fault fault_of(int64_t timestamp_ms, int64_t seen_ms)
{
    if (timestamp_ms < 0)
        return RECORD_TIME_NONE;
    if (is_plausible(timestamp_ms, seen_ms))
        return timestamp_ms > seen_ms ? RECORD_TIME_AHEAD : RECORD_TIME_FINE;
    if (timestamp_ms < YEAR_2000_MS)
        return is_plausible(timestamp_ms * 1000, seen_ms) ? RECORD_TIME_SECONDS : RECORD_TIME_BEFORE_2000;
    if (is_plausible(timestamp_ms / 1000, seen_ms))
        return RECORD_TIME_MICROSECONDS;
    return is_plausible(timestamp_ms / 1000000, seen_ms) ? RECORD_TIME_NANOSECONDS : RECORD_TIME_DAYS_AHEAD;
}

struct record_time record_time_look(int64_t timestamp_ms, int64_t seen_ms)
{
    struct record_time time = {.fault = fault_of(timestamp_ms, seen_ms)};
    if (!record_time_is_unknown(time.fault) && timestamp_ms < seen_ms)
        time.age_ms = seen_ms - timestamp_ms;
    return time;
}

bool record_time_is_unknown(enum record_time_fault fault)
{
    return fault != RECORD_TIME_FINE && fault != RECORD_TIME_SECONDS && fault != RECORD_TIME_BEFORE_2000;
}

bool record_time_is_absurd(enum record_time_fault fault)
{
    return fault > RECORD_TIME_AHEAD;
}

const char *record_time_hint(enum record_time_fault fault)
{
    switch (fault) {
    case RECORD_TIME_NONE: return "is missing: counted from when a worker first saw it";
    case RECORD_TIME_AHEAD: return "is ahead of the worker's clock: counted from when a worker first saw it";
    case RECORD_TIME_SECONDS: return "looks like seconds; the producer should give milliseconds, or none";
    case RECORD_TIME_MICROSECONDS: return "looks like microseconds; the producer should give milliseconds, or none";
    case RECORD_TIME_NANOSECONDS: return "looks like nanoseconds; the producer should give milliseconds, or none";
    case RECORD_TIME_BEFORE_2000: return "is before the year 2000; the producer should give the time in milliseconds since 1970, or none";
    case RECORD_TIME_DAYS_AHEAD: return "is more than a day ahead; the producer's clock or its unit is wrong (milliseconds since 1970)";
    case RECORD_TIME_FINE: break;
    }
    return "";
}
