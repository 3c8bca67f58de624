/* How much librdkafka may read ahead of the intake: kafka_conf.c sets these properties, intake/prefetch.h holds the records. Pure. */
#ifndef CHAT_KAFKA_FETCH_BOUNDS_H
#define CHAT_KAFKA_FETCH_BOUNDS_H

#include <stdint.h>

#include "settings/settings.h"

/* Bounds of the queue of all records, whatever the number of partitions. In addition each broker may have a Fetch response under way: as many
 * bytes again, or one batch if that is larger. */
struct fetch_bounds {
    int64_t records;
    int64_t kbytes;          /* of values */
    int64_t partition_bytes; /* of one partition in one Fetch response */
};
struct fetch_bounds fetch_bounds(const struct settings *settings);

#endif
