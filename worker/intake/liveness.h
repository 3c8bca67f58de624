/* Do all assigned partitions make progress? Then three views of a partition agree: the broker lists it as ours, the client here fetches it, and
 * its head, the first job that isn't done, changes. A member that owns a partition without progress looks healthy to the group and is not: then
 * /healthz fails with the reason, and the process is restarted.
 *
 * stuck_rules.h judges what is stuck, ownership.h what isn't fetched. The admin thread watches that this thread itself runs
 * (telemetry/watchdog.h).
 *
 * liveness_look: intake thread, blocks never. liveness_failed, liveness_broker_answers_ms: any thread. */
#ifndef CHAT_INTAKE_LIVENESS_H
#define CHAT_INTAKE_LIVENESS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake/assignments.h"
#include "task/service.h"

struct liveness;

/* Borrows its arguments; bootstrap: as kafka_conf_make takes it. */
struct liveness *liveness_create(const struct service *service, const char *bootstrap, rd_kafka_t *consumer);
void liveness_destroy(struct liveness *liveness); /* before the consumer; NULL is fine */
void liveness_look(struct liveness *liveness, const struct assignments *assignments);
/* True: *why names the partition and what is wrong. */
bool liveness_failed(struct liveness *liveness, char *why, size_t size);
int64_t liveness_broker_answers_ms(struct liveness *liveness);

#endif
