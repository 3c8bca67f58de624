/* Does each partition that the group gave us move? Three views of it, held against each other: owned by the broker's
 * word, assigned to the client here, and its frontier (the first job that isn't done) moving. A member that owns but
 * doesn't move looks healthy to the group and is not: then /healthz fails and says why, and the process is restarted.
 *
 * An outage is no reason: nothing is stuck while the intake is held (a breaker, TSTP, a drain) or a dependency fails,
 * while the head waits on purpose (a claim, a retry, a suspect's turn), within its call's deadline, or while its
 * reply waits for a broker that doesn't answer, or hasn't for long.
 *
 * liveness_look: intake thread, blocks never. liveness_failed: any thread. The rules are pure. */
#ifndef CHAT_INTAKE_LIVENESS_H
#define CHAT_INTAKE_LIVENESS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatch/task.h"
#include "intake/grants.h"
#include "service.h"

/* ---- the rules ---- */

struct liveness_view {
    int64_t unmoved_ms;      /* for so long the same job is the first that isn't done, with nothing held; 0: there is none */
    enum task_place place;   /* where that job is */
    int64_t broker_answers_ms; /* for so long the broker has answered without a failure between */
};

/* A reply that went out as the broker went away is written anew once librdkafka notices (socket.timeout.ms, 60 s) and has
 * connected again (reconnect.backoff.max.ms, 10 s). */
#define LIVENESS_ACKNOWLEDGE_MS 90000

/* Is this partition stuck? bound_ms: worker.stuck_after_ms; call_ms: how long a call may take. A reply has
 * LIVENESS_ACKNOWLEDGE_MS instead, from the time that the broker answers. */
bool liveness_is_stuck(const struct liveness_view *view, int64_t bound_ms, int64_t call_ms);

/* As words of a sentence about the job. */
const char *liveness_place_name(enum task_place place);

/* ---- the watch ---- */

/* Where the job of this partition and offset is; *job gets its id, "" when it is ending. Looks through all of them. */
enum task_place liveness_find(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size);

struct liveness;

struct liveness *liveness_create(const struct service *service, rd_kafka_t *consumer);
void liveness_destroy(struct liveness *liveness); /* before the consumer; NULL is fine */
/* held: nothing is taken on purpose. */
void liveness_look(struct liveness *liveness, const struct grants *grants, bool held);
/* True: *why says which partition, and what of it. */
bool liveness_failed(struct liveness *liveness, char *why, size_t size);

#endif
