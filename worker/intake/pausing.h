/* What is read: nothing while what is in memory is enough, or an outage or a drain holds the intake (then records stay where
 * librdkafka has them, see prefetch.h); and not from partitions whose own jobs stand in line while the threads want for others, or end
 * too far out of order: those alone are paused. Intake thread only; blocks never. */
#ifndef CHAT_INTAKE_PAUSING_H
#define CHAT_INTAKE_PAUSING_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "intake/assignments.h"
#include "intake/prefetch.h"
#include "task/service.h"

/* ---- the rule ---- */

/* All in jobs. Behind: they wait behind another of their lane, and no thread can have them. */
struct pausing_view {
    int64_t behind;      /* of the partition */
    int64_t behind_all;  /* of all partitions */
    int64_t to_ask;      /* all that aren't behind */
    int64_t threads;
    int64_t buffered_max;
    bool paused;         /* is it? */
};

/* While there is enough for the threads nobody is paused, however many are behind: a full buffer stops all, and throws nothing away.
 * When there isn't, those that have more behind than their share make room for the others: as many as half the buffer has room
 * for yet, so that one alone may take a quarter of it, and many come to less each, but never less than PAUSING_SHARE_LEAST, however many
 * partitions there are. They are resumed at half their share, since a pause throws the prefetch away. */
#define PAUSING_SHARE_LEAST 8
bool pausing_wants(const struct pausing_view *view);

/* ---- its execution ---- */

/* 0: a record may be taken. Else for so many ms none is, before it is asked again. held: nothing is to be read. */
int pausing_hold_ms(const struct service *service, bool held);
/* Pauses and resumes each partition as it should be now. held_back: nothing is taken of any, for the metric. */
void pausing_look(const struct service *service, rd_kafka_t *consumer, struct prefetch *prefetch, const struct assignments *assignments, bool held_back);
/* Takes back the pauses of those of which it is true, before they are let go: librdkafka's pause outlives the assignment, and were they assigned
 * again, nothing would be read. */
void pausing_resume(rd_kafka_t *consumer, const struct assignments *assignments, bool (*of)(const struct partition *partition));

#endif
