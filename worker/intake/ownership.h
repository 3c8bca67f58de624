/* Is all fetched that the group counts on us for? What the broker says this member owns (group_watch.h) is held against what the client was told to
 * fetch here: a client may have lost an assignment that the group counts on. Owned by liveness.c; intake thread alone; blocks never.
 * Without an answer from the broker nothing is known, and nothing counts as missing. */
#ifndef CHAT_INTAKE_OWNERSHIP_H
#define CHAT_INTAKE_OWNERSHIP_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "intake/assignments.h"
#include "intake/group_watch.h"

struct ownership {
    uint64_t answer; /* of the watch: the last that was compared */
    int64_t missing_since_ms; /* something the group gave us isn't fetched; 0: all is */
    char missing[160]; /* the first of it, as topic/partition */
};

/* Compares anew where the broker has answered since. A rebalance makes a difference for a moment: what counts is for how long. All zero: never compared. */
void ownership_compare(struct ownership *ownership, struct group_watch *watch, rd_kafka_t *consumer, const struct assignments *assignments, int64_t now_ms);

#endif
