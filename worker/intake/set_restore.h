/* What was committed with the partitions of a fresh grant: where they begin, and the completed set above that
 * (offset_codec.h), so that what was done before isn't done again.
 *
 * Intake thread, inside the rebalance callback. Blocks some seconds while the broker is slow; with exactly-once as long
 * as it takes, since a transaction that another worker left open ends by its time-out. */
#ifndef CHAT_INTAKE_SET_RESTORE_H
#define CHAT_INTAKE_SET_RESTORE_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "intake/grants.h"
#include "service.h"

/* Sets the offsets of `granted`, so that set and offset are of one commit. False: they can't be read. librdkafka would ask
 * once more, and then never fetch from them, however healthy the member looks: the group must be joined anew.
 * stopping: gives up. */
bool set_restore(const struct service *service, rd_kafka_t *consumer, const struct grants *grants, rd_kafka_topic_partition_list_t *granted,
                 const atomic_bool *stopping) MUST_CHECK;

#endif
