/* What librdkafka has read ahead of the intake: a queue of its own with the records of all our partitions, beside the consumer's
 * with rebalances and errors. Thus the intake can leave records where they are and go on polling, which is how it waits while
 * the buffer is full: a pause would throw away what was read ahead, and has no quick way back.
 *
 *   brokers ──librdkafka's threads──▶ partitions' queues ──forwarded──▶ this queue ──prefetch_take──▶ intake
 *
 * It is bounded in records and bytes (kafka/fetch_bounds.h). At either bound librdkafka asks for no more, and then takes its time: before 2.1 its
 * thread sleeps for up to a second, whatever becomes of the queue meanwhile, unless a seek wakes it; so it is sought to where it
 * is, once all that was read ahead has been taken (nothing is lost by it then). From 2.2 on it looks again every
 * fetch.queue.backoff.ms, which kafka_conf.c sets. (2.1 has neither.)
 *
 * Intake thread only, also from within its rebalance callback. Blocks in prefetch_take alone. */
#ifndef CHAT_INTAKE_PREFETCH_H
#define CHAT_INTAKE_PREFETCH_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "intake/assignments.h"

struct prefetch;

/* Before the consumer is made of conf. */
struct prefetch *prefetch_create(rd_kafka_conf_t *conf);
/* Its records come to us from now on. Keeps the consumer. */
void prefetch_begin(struct prefetch *prefetch, rd_kafka_t *consumer);
/* Before the consumer is destroyed. */
void prefetch_end(struct prefetch *prefetch);
/* After it. NULL is fine. */
void prefetch_destroy(struct prefetch *prefetch);

/* Partitions that are about to be assigned. */
void prefetch_follow(struct prefetch *prefetch, const rd_kafka_topic_partition_list_t *assigned);
/* A record came by the consumer's own queue: what is assigned anew as a whole (eager) may be forwarded there again. */
void prefetch_follow_stray(struct prefetch *prefetch, const rd_kafka_message_t *message);
/* The next record, or an error of a partition's; NULL: none came in time. The caller destroys it. */
rd_kafka_message_t *prefetch_take(struct prefetch *prefetch, const struct assignments *assignments, int timeout_ms);
/* Some of it was thrown away: by a pause, or with a partition that went. */
void prefetch_note_purged(struct prefetch *prefetch);

#endif
