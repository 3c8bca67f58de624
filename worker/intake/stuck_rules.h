/* Is a partition stuck? Judged by what its head, the first job that isn't done, waits for, from when it last began to wait for that:
 *
 *   a call               as long as a call may take, whether other jobs progress or not. Judged for all jobs, not heads alone: a call keeps a thread
 *   its turn, a thread   while jobs begin and end; while a breaker bounds them, or Redis is away
 *   a retry, a claim that another worker holds, a permit, its turn as a suspect: for ever; the timekeeper wakes it, and telemetry/watchdog.h watches that thread
 *   Redis to store its end: while Redis is away, or refuses this job alone
 *   Kafka to acknowledge its reply: while the broker doesn't answer, and for a while after
 *
 * So an outage makes nothing stuck, and hides nothing that is. Pure; liveness.c collects the facts. Any thread. */
#ifndef CHAT_INTAKE_STUCK_RULES_H
#define CHAT_INTAKE_STUCK_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "intake/head_state.h"

struct head_view {
    enum head_state state;
    int64_t in_state_ms;       /* how long the same job has been the head, in this state, without an excuse */
    int64_t running_ms;        /* HEAD_RUNNING: since its claim */
    int64_t still_ms;          /* since a claim was last taken or given up, by whatever job */
    bool redis_is_away;        /* its last command failed */
    bool is_held_back;         /* a breaker isn't closed */
    int64_t broker_answers_ms; /* how long the broker has answered without a failure */
};

/* A reply sent as the broker failed is sent again once librdkafka notices (socket.timeout.ms, 60 s) and has
 * reconnected (reconnect.backoff.max.ms, 10 s). */
#define STUCK_ACKNOWLEDGE_MS 90000

/* Does the head wait for something that may take any time? Then in_state_ms starts again when that ends. */
bool stuck_rules_excuse(const struct head_view *view);
/* Is this partition stuck? bound_ms: worker.stuck_after_ms; call_ms: how long a call may take. */
bool stuck_rules_is_stuck(const struct head_view *view, int64_t bound_ms, int64_t call_ms);

#endif
