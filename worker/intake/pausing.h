/* Which records are taken: none while the buffer is full, or an outage or a drain holds the intake (then records stay
 * in librdkafka, see prefetch.h); and none of partitions whose jobs queue behind their own lanes while the threads lack other jobs, or end
 * too far out of order: only those partitions are paused. Intake thread only; never blocks. */
#ifndef CHAT_INTAKE_PAUSING_H
#define CHAT_INTAKE_PAUSING_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "intake/assignments.h"
#include "intake/prefetch.h"
#include "task/service.h"

/* ---- the rule ---- */

/* All are numbers of jobs. Behind: waiting behind another job of the lane, so that no thread can take them. */
struct pausing_view {
    int64_t behind;      /* of the partition */
    int64_t behind_all;  /* of all partitions */
    int64_t to_ask;      /* of all partitions, those that aren't behind */
    int64_t threads;
    int64_t buffered_max;
    bool paused;         /* now */
};

/* While the threads have enough jobs no partition is paused, however many jobs are behind: a full buffer stops all partitions and throws nothing away.
 * When the threads lack jobs, partitions with more jobs behind than their share are paused. The share is as many jobs as half the buffer still has
 * room for, so that one partition alone may take a quarter of the buffer and each of many takes less, but never less than PAUSING_SHARE_LEAST.
 * They are resumed at half their share, since a pause throws the prefetch away. */
#define PAUSING_SHARE_LEAST 8
bool pausing_wants(const struct pausing_view *view);

/* ---- its execution ---- */

/* 0: a record may be taken. Else the ms to wait before the next call. held: intake_hold is set. */
int pausing_hold_ms(const struct service *service, bool held);
/* Pauses and resumes each partition as it should be now. held_back: no record is taken of any partition, for the metric. */
void pausing_look(const struct service *service, rd_kafka_t *consumer, struct prefetch *prefetch, const struct assignments *assignments, bool held_back);
/* Resumes the partitions for which `of` is true, before they are revoked: librdkafka's pause outlives the assignment, and were they assigned
 * again, nothing would be read. */
void pausing_resume(rd_kafka_t *consumer, const struct assignments *assignments, bool (*of)(const struct partition *partition));

#endif
