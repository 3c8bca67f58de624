/* What is read: nothing while what is in memory is enough, or an outage or a drain holds the intake (then records stay where
 * librdkafka has them, see prefetch.h); and not from partitions whose own jobs stand in line or end too far out of order: those
 * alone are paused. Intake thread only; blocks never. */
#ifndef CHAT_INTAKE_PAUSING_H
#define CHAT_INTAKE_PAUSING_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "intake/grants.h"
#include "intake/prefetch.h"
#include "service.h"

/* 0: a record may be taken. Else for so many ms none is, before it is asked again. held: nothing is to be read. */
int pausing_hold_ms(const struct service *service, bool held);
/* Pauses and resumes each partition as it should be now. held_back: nothing is taken of any, for the metric. */
void pausing_look(const struct service *service, rd_kafka_t *consumer, struct prefetch *prefetch, const struct grants *grants, bool held_back);
/* Before the partition is let go: librdkafka's pause outlives the grant, and were it granted again, nothing would be read. */
void pausing_resume(rd_kafka_t *consumer, struct partition *partition);

#endif
