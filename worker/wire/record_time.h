/* What a record's timestamp (CreateTime or LogAppendTime) says of its age, and whether it can be meant: a deadline counts from it. Pure; any thread.
 *
 *   in the past                          the age is what it says
 *   ahead of our clock, or none (-1)     the age is counted from when the record was first seen
 *
 * Those that nobody can mean are told apart, so that a message can say what to do: seconds, microseconds or nanoseconds where Kafka
 * has milliseconds, before the year 2000, more than a day ahead. */
#ifndef CHAT_WIRE_RECORD_TIME_H
#define CHAT_WIRE_RECORD_TIME_H

#include <stdbool.h>
#include <stdint.h>

enum record_time_fault {
    RECORD_TIME_FINE,
    RECORD_TIME_NONE,  /* negative */
    RECORD_TIME_AHEAD, /* of our clock, by a day at most */
    RECORD_TIME_SECONDS,
    RECORD_TIME_MICROSECONDS,
    RECORD_TIME_NANOSECONDS,
    RECORD_TIME_BEFORE_2000,
    RECORD_TIME_DAYS_AHEAD
};

struct record_time {
    enum record_time_fault fault;
    int64_t age_ms; /* when it was seen; 0 where the timestamp doesn't tell */
};

/* seen_ms: Unix time at which a worker saw it. */
struct record_time record_time_look(int64_t timestamp_ms, int64_t seen_ms);
/* The age is counted from when it was seen. */
bool record_time_is_unknown(enum record_time_fault fault);
/* It can't be meant. */
bool record_time_is_absurd(enum record_time_fault fault);
/* What is wrong and what to do about it, to stand behind "the record's timestamp "; "" for FINE. */
const char *record_time_hint(enum record_time_fault fault);

#endif
