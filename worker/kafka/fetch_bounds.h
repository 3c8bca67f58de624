/* How much librdkafka may read ahead of the intake: kafka_conf.c tells it so, intake/prefetch.h holds what it has read. Pure. */
#ifndef CHAT_KAFKA_FETCH_BOUNDS_H
#define CHAT_KAFKA_FETCH_BOUNDS_H

#include <stdint.h>

#include "settings/settings.h"

/* Of the one queue that the records come by, whatever the number of partitions. Each broker's answer under way comes on top: as many
 * bytes again, or one batch if that is larger. */
struct fetch_bounds {
    int64_t records;
    int64_t kbytes;          /* of values */
    int64_t partition_bytes; /* of one partition in one answer */
};
struct fetch_bounds fetch_bounds(const struct settings *settings);

#endif
