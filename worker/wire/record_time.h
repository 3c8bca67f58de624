/* A record's age by its timestamp (CreateTime or LogAppendTime), and whether that is plausible: a deadline counts from it. Pure; any thread.
 *
 *   in the past                          the age is the difference to our clock
 *   ahead of our clock, or none (-1)     the age is counted from when the record was first received
 *
 * Absurd timestamps are distinguished, so that a message can name the remedy: seconds, microseconds or nanoseconds instead of
 * Kafka's milliseconds, before the year 2000, more than a day ahead. */
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
    int64_t age_ms; /* when it was received; 0 if the timestamp doesn't show it */
};

/* seen_ms: Unix time at which a worker received the record. */
struct record_time record_time_look(int64_t timestamp_ms, int64_t seen_ms);
/* The age is counted from when the record was received. */
bool record_time_is_unknown(enum record_time_fault fault);
/* The timestamp is a mistake. */
bool record_time_is_absurd(enum record_time_fault fault);
/* What is wrong and what to do about it, to follow "the record's timestamp "; "" for FINE. */
const char *record_time_hint(enum record_time_fault fault);

#endif
