/* Is a partition stuck? Judged by what its head, the first job that isn't done, waits for, from when it last began to wait for that:
 *
 *   a call               as long as a call may take, whoever else fails or succeeds meanwhile. Any job's, not the heads' alone: it keeps a thread
 *   its turn, a thread   while jobs begin and end; while a breaker bounds them, or Redis is away
 *   a retry, a claim that another has, a permit, its turn as a suspect: for ever; the timekeeper sees to it, and telemetry/watchdog.h to that one
 *   Redis to hear its end: while Redis is away, or refuses just this one
 *   Kafka to acknowledge it: while the broker doesn't answer, and for a while after
 *
 * So no outage makes anything stuck, and none hides what is. Pure; liveness.c brings the facts. Any thread. */
#ifndef CHAT_INTAKE_STUCK_RULES_H
#define CHAT_INTAKE_STUCK_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "intake/head_state.h"

struct head_view {
    enum head_state state;
    int64_t in_state_ms;       /* for so long the same job is the head, and as here, and nothing excused it */
    int64_t running_ms;        /* HEAD_RUNNING: since its claim */
    int64_t still_ms;          /* since a claim was last taken or given up, by whatever job */
    bool redis_is_away;        /* it failed the last time it was asked */
    bool is_held_back;         /* a breaker isn't closed */
    int64_t broker_answers_ms; /* for so long the broker has answered without a failure between */
};

/* A reply that went out as the broker went away is written anew once librdkafka notices (socket.timeout.ms, 60 s) and has
 * connected again (reconnect.backoff.max.ms, 10 s). */
#define STUCK_ACKNOWLEDGE_MS 90000

/* Does it wait for what may take any time? Then what counts begins anew when it doesn't any more. */
bool stuck_rules_excuse(const struct head_view *view);
/* Is this partition stuck? bound_ms: worker.stuck_after_ms; call_ms: how long a call may take. */
bool stuck_rules_is_stuck(const struct head_view *view, int64_t bound_ms, int64_t call_ms);

#endif
