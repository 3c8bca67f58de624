/* Which partitions are sought so that librdkafka's threads fetch on (prefetch.h). One seek wakes a broker's thread, which then looks at all of the
 * broker's partitions, and each further seek makes it look at all of them again. So one partition is sought of each broker that rests,
 * known by which broker its last record came from. Pure. */
#ifndef CHAT_INTAKE_FETCH_WAKE_H
#define CHAT_INTAKE_FETCH_WAKE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "intake/assignments.h"

/* The partitions, with their positions; the caller destroys the list. resting: fetch_watch_resting. All that can be sought if `all`, because the last
 * wake-up brought no record (a partition's leader may be another by now), or if of a resting broker no partition is known. */
rd_kafka_topic_partition_list_t *fetch_wake_list(const struct assignments *assignments, uint64_t resting, bool all);

#endif
