/* What librdkafka has read ahead of the intake: a queue of its own with the records of all our partitions, beside the consumer's
 * with rebalances and errors. So the intake can leave records in the queue and go on polling, as it does while
 * the buffer is full: a pause would throw away what was read ahead, and a resume is slow.
 *
 *   brokers ──librdkafka's threads──▶ partitions' queues ──forwarded──▶ this queue ──prefetch_take, prefetch_wait──▶ intake
 *
 * The queue is bounded in records and bytes (kafka/fetch_bounds.h). At either bound librdkafka stops fetching, and resumes late: before 2.1 its
 * thread sleeps for up to a second, even if the queue is emptied meanwhile, unless a seek wakes it; so a partition of each resting broker is sought to its own
 * position once all read-ahead records have been taken (then a seek throws nothing away; which partitions: fetch_wake.h). From 2.2 on the thread looks again every
 * fetch.queue.backoff.ms, which kafka_conf.c sets. (2.1 has neither.)
 *
 * Intake thread only, also from within its rebalance callback. Blocks in prefetch_wait, and for a moment in prefetch_follow_again. */
#ifndef CHAT_INTAKE_PREFETCH_H
#define CHAT_INTAKE_PREFETCH_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "intake/assignments.h"

struct prefetch;

/* Before the consumer is made of conf. */
struct prefetch *prefetch_create(rd_kafka_conf_t *conf);
/* From now on the consumer's records come to this queue. Borrows the consumer. */
void prefetch_begin(struct prefetch *prefetch, rd_kafka_t *consumer);
/* Before the consumer is destroyed. */
void prefetch_end(struct prefetch *prefetch);
/* After the consumer was destroyed. NULL is fine. */
void prefetch_destroy(struct prefetch *prefetch);

/* Partitions that are about to be assigned. */
void prefetch_follow(struct prefetch *prefetch, const rd_kafka_topic_partition_list_t *assigned);
/* Partitions that the assignment which was just made has stopped and started: as it stops one, librdkafka drops the forwarding of its queue, and it doesn't
 * set its own on a queue that was forwarded by us before, so that its records would come by no queue. Waits for librdkafka's main thread. */
void prefetch_follow_again(struct prefetch *prefetch, const rd_kafka_topic_partition_list_t *restarted);
/* A record came by the consumer's own queue. */
void prefetch_follow_stray(struct prefetch *prefetch, const rd_kafka_message_t *message);
/* The next record, or a partition's error, which the caller destroys; NULL: none is there. */
rd_kafka_message_t *prefetch_take(struct prefetch *prefetch);
/* After prefetch_take has found none: ends a rest of librdkafka's, and waits. NULL: none came in time. */
rd_kafka_message_t *prefetch_wait(struct prefetch *prefetch, const struct assignments *assignments, int timeout_ms);
/* Read-ahead records were thrown away: by a pause, or with a revoked partition. */
void prefetch_note_purged(struct prefetch *prefetch);

#endif
