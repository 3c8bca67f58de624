/* Does all that the group gave us move? Then three views of a partition agree: owned by the broker's word, fetched by the client here, and
 * its head, the first job that isn't done, moving. A member that owns but doesn't move looks healthy to the group and is not: then
 * /healthz fails and says why, and the process is restarted.
 *
 * What is stuck is judged by what the head waits for, from when it last began to wait for that:
 *
 *   a call               as long as a call may take, whoever else fails or succeeds meanwhile. Any job's, not the heads' alone: it keeps a thread
 *   its turn, a thread   while jobs begin and end; while a breaker bounds them, or Redis is away
 *   a retry, a claim that another has, a permit, its turn as a suspect: for ever; the timekeeper sees to it, and telemetry/watchdog.h to that one
 *   Redis to hear its end: while Redis is away, or refuses just this one
 *   Kafka to acknowledge it: while the broker doesn't answer, and for a while after
 *
 * So no outage makes anything stuck, and none hides what is. That this thread looks at all is watched by another (telemetry/watchdog.h).
 *
 * liveness_look: intake thread, blocks never. liveness_failed, liveness_broker_answers_ms: any thread. The rules are pure. */
#ifndef CHAT_INTAKE_LIVENESS_H
#define CHAT_INTAKE_LIVENESS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake/grants.h"
#include "task/service.h"
#include "task/task.h"

/* ---- the rules ---- */

enum head_state {
    HEAD_LANE,    /* waits behind another of its lane */
    HEAD_LINE,    /* to be begun */
    HEAD_SUSPECT, /* to be alone */
    HEAD_TIMER,
    HEAD_READY,   /* for a thread */
    HEAD_RUNNING, /* its claim is held, and its end hasn't come */
    HEAD_TELLING, /* its end has come, and Redis isn't told yet */
    HEAD_REFUSED, /* the same, and Redis answers that it won't be told of this one now */
    HEAD_ENDING   /* with the begin thread, or told, and waits for its acknowledgement */
};

struct liveness_view {
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
#define LIVENESS_ACKNOWLEDGE_MS 90000

/* Does it wait for what may take any time? Then what counts begins anew when it doesn't any more. */
bool liveness_is_excused(const struct liveness_view *view);
/* Is this partition stuck? bound_ms: worker.stuck_after_ms; call_ms: how long a call may take. */
bool liveness_is_stuck(const struct liveness_view *view, int64_t bound_ms, int64_t call_ms);

/* As words of a sentence about the job. */
const char *liveness_state_name(enum head_state state);

/* ---- the watch ---- */

/* How the job of this partition and offset is; *job gets its id, "" when it is ending. Looks through all claims, and all of the partition's that wait. */
enum head_state liveness_find(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size);

struct liveness;

struct liveness *liveness_create(const struct service *service, rd_kafka_t *consumer);
void liveness_destroy(struct liveness *liveness); /* before the consumer; NULL is fine */
void liveness_look(struct liveness *liveness, const struct grants *grants);
/* True: *why says which partition, and what of it. */
bool liveness_failed(struct liveness *liveness, char *why, size_t size);
int64_t liveness_broker_answers_ms(struct liveness *liveness);

#endif
