/* When the time to shut down is over: pure, without clock, lock or signal. service/signals.c asks it and ends the process.
 *
 *   first TERM or INT          worker.drain_timeout_ms and worker.close_timeout_ms from then on
 *   the drain is over          worker.close_timeout_ms from then on, for all that follows
 *   the time is up             the process ends, whatever it is stuck in, and logs the step
 *   second TERM or INT         the process ends at once
 *
 * Nothing is lost by that: what wasn't committed is redelivered, and an answer that was stored in Redis is published from there. */
#ifndef CHAT_SERVICE_END_WATCH_H
#define CHAT_SERVICE_END_WATCH_H

#include <stdint.h>

/* In their order: name, and what it waits for. */
#define END_STEPS(S)                                                                                     \
    S(START, "start", "what the start was doing")                                                        \
    S(SERVE, "serve", "the main thread, which hears that it is told to end")                             \
    S(DRAIN, "drain", "running jobs, for worker.drain_timeout_ms")                                       \
    S(RELEASE, "release", "Redis and Kafka, for what was cut short and the last acknowledgements")       \
    S(GROUP, "group", "the last commit, and the group's coordinator that the worker leaves by")          \
    S(CONTROL, "control", "the reader of worker.control_topic")                                          \
    S(COMPLETION, "completion", "Redis and the broker, with exactly-once the transaction's coordinator") \
    S(THREADS, "threads", "calls to Redis and to names under way")                                       \
    S(CLIENTS, "clients", "Kafka clients that don't go")                                                 \
    S(EXIT, "exit", "the process's end")

enum end_step {
#define END_STEP(id, name, waits_for) END_##id,
    END_STEPS(END_STEP)
#undef END_STEP
        END_STEP_COUNT
};

const char *end_step_name(enum end_step step);
const char *end_step_waits_for(enum end_step step);

enum end_verdict { END_NOT_YET, END_TIME_IS_UP, END_AT_ONCE };

struct end_watch {
    int64_t drain_ms, close_ms;
    int signals; /* how often TERM or INT came */
    enum end_step step;
    int64_t end_by_ms; /* INT64_MAX: no end requested */
};

/* Steps before the drain: close_ms is all that a start has. */
struct end_watch end_watch_new(int64_t drain_ms, int64_t close_ms);
void end_watch_signalled(struct end_watch *watch, int64_t now_ms);
void end_watch_step(struct end_watch *watch, enum end_step step, int64_t now_ms);
enum end_verdict end_watch_verdict(const struct end_watch *watch, int64_t now_ms);

/* worker.close_timeout_ms, divided among the steps that wait with a bound: by when, after the drain, each has to be over. The rest is for
 * calls that are still under way then, and for freeing memory. */
int64_t end_share_ms(enum end_step step, int64_t close_ms);

#endif
