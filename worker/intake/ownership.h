/* Are all partitions fetched that the group has assigned to this member? Compares the broker's description of the group (group_watch.h) with the
 * client's assignment: a client may have lost one that the group still has. Owned by liveness.c; intake thread only; never blocks.
 * Without a response from the broker nothing counts as missing. */
#ifndef CHAT_INTAKE_OWNERSHIP_H
#define CHAT_INTAKE_OWNERSHIP_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "intake/assignments.h"
#include "intake/group_watch.h"

struct ownership {
    uint64_t answer; /* group_watch_owned's number of the last response that was compared */
    int64_t missing_since_ms; /* since when an assigned partition isn't fetched; 0: all are */
    char missing[160]; /* the first such partition, as topic/partition */
};

/* Compares again if the broker has answered since. In a rebalance the two differ for a moment: the caller judges the duration. All zero: never compared. */
void ownership_compare(struct ownership *ownership, struct group_watch *watch, rd_kafka_t *consumer, const struct assignments *assignments, int64_t now_ms);

#endif
