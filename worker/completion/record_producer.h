/* A Kafka producer of replies and dead letters: makes a task's records and enqueues them. Idempotent or, with a
 * transactional id, transactional. Used by one thread at a time: its publisher's. */
#ifndef CHAT_COMPLETION_RECORD_PRODUCER_H
#define CHAT_COMPLETION_RECORD_PRODUCER_H

#include <librdkafka/rdkafka.h>

#include "completion/publish_refusal.h"
#include "settings/settings.h"
#include "task/task.h"

struct record_producer;

/* Called for each record when its client is polled or flushed. why: NULL: delivered; else why the client gave it up. */
typedef void record_report(struct task *task, bool is_dead_letter, const struct refusal *why, void *arg);

/* Doesn't block. transactional_id NULL: none. */
enum status record_producer_create(const struct settings *settings, const char *bootstrap, const char *transactional_id,
                                   record_report *report, void *arg, struct record_producer **ret, struct error *err) MUST_CHECK;
/* Looks up the topics, so that no reply waits for that. Blocks for limit_ms at most, twice; a topic not found by then is looked up at its first record. */
void record_producer_prepare(struct record_producer *producer, int limit_ms);
/* Do these settings make it fail, whatever the brokers answer? Connects to none. */
enum status record_producer_check(const struct settings *settings, struct error *err) MUST_CHECK;
/* Records still queued are given up, with a report each, as far as those come within PURGE_MS. Blocks so long at most. */
void record_producer_give_up(struct record_producer *producer);
/* After record_producer_give_up: ends in a thread of its own, whenever that is; no report comes any more. */
void record_producer_destroy_later(struct record_producer *producer);
/* Records still queued are given up, with a report each. Blocks for DESTROY_MS at most, whatever the client does. False: the client
 * hasn't ended by then; it and what its reports access aren't freed, and the process must end next. NULL is fine. */
bool record_producer_destroy(struct record_producer *producer) MUST_CHECK;

/* Enqueue the task's reply or dead letter, in its present form; never block. AGAIN: the client's queue is full. FAILED: *why. Keeps a
 * reference on task until it is reported. */
enum status record_producer_reply(struct record_producer *producer, struct task *task, struct refusal *why) MUST_CHECK;
enum status record_producer_dead_letter(struct record_producer *producer, struct task *task, struct refusal *why) MUST_CHECK;

/* For polls, flushes and transactions. */
rd_kafka_t *record_producer_client(struct record_producer *producer);

#endif
