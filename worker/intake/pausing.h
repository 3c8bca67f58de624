/* Which partitions are read: not while what is in memory is enough, an outage or a drain holds the intake, or their own
 * jobs stand in line or end too far out of order. Intake thread only; blocks never. */
#ifndef CHAT_INTAKE_PAUSING_H
#define CHAT_INTAKE_PAUSING_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "intake/grants.h"
#include "service.h"

/* held: nothing is to be read. Pauses and resumes each partition as it should be now. True: some are paused, and to be looked
 * at again soon: what they have in line is all there is for their sessions. */
bool pausing_look(const struct service *service, rd_kafka_t *consumer, const struct grants *grants, bool held);
/* A pause can't wait for the next look: what is in memory is all there may be. */
bool pausing_is_urgent(const struct service *service);
/* Before the partition is let go: librdkafka's pause outlives the grant, and were it granted again, nothing would be read. */
void pausing_resume(rd_kafka_t *consumer, struct partition *partition);

#endif
