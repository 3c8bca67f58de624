/* A Kafka producer of replies and dead letters: makes a task's records and enqueues them. The idempotent or, with a
 * transactional id, the transactional one. One thread's at a time: its publisher's. */
#ifndef CHAT_COMPLETION_RECORD_PRODUCER_H
#define CHAT_COMPLETION_RECORD_PRODUCER_H

#include <librdkafka/rdkafka.h>

#include "dispatch/task.h"
#include "base/settings.h"

struct record_producer;

/* Called for each record when its client is polled or flushed: delivered, or failed for good with *err, whose class is
 * PERMANENT if the record itself is at fault (too large, no such topic, not allowed), else RETRIABLE. */
typedef void record_report(struct task *task, bool is_dead_letter, const struct error *err, void *arg);

/* Blocks for up to ten seconds while the broker doesn't answer: the topics are looked up. transactional_id NULL: none. */
enum status record_producer_create(const struct settings *settings, const char *bootstrap, const char *transactional_id,
                                   record_report *report, void *arg, struct record_producer **ret, struct error *err) MUST_CHECK;
/* Would it be refused, whoever the brokers are? Reaches nobody. */
enum status record_producer_check(const struct settings *settings, struct error *err) MUST_CHECK;
void record_producer_destroy(struct record_producer *producer); /* NULL is fine */

/* Enqueue; wait inside while the producer's queue is full. FAILED: as it is, it will never be accepted (PERMANENT), or
 * not now. Keeps a reference of task until it is reported. */
enum status record_producer_reply(struct record_producer *producer, struct task *task, const char *value, struct error *err) MUST_CHECK;
enum status record_producer_dead_letter(struct record_producer *producer, struct task *task, bool omit_value, struct error *err) MUST_CHECK;

/* To poll, to flush, to make transactions with. */
rd_kafka_t *record_producer_client(struct record_producer *producer);

#endif
