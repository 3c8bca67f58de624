/* A Kafka producer of replies and dead letters: makes a task's records and enqueues them. The idempotent or, with a
 * transactional id, the transactional one. One thread's at a time: its publisher's. */
#ifndef CHAT_COMPLETION_RECORD_PRODUCER_H
#define CHAT_COMPLETION_RECORD_PRODUCER_H

#include <librdkafka/rdkafka.h>

#include "completion/publish_refusal.h"
#include "settings/settings.h"
#include "task/task.h"

struct record_producer;

/* Called for each record when its client is polled or flushed: delivered (NULL), or given up by the client, and why. */
typedef void record_report(struct task *task, bool is_dead_letter, const struct refusal *why, void *arg);

/* Blocks for up to ten seconds while the broker doesn't answer: the topics are looked up. transactional_id NULL: none. */
enum status record_producer_create(const struct settings *settings, const char *bootstrap, const char *transactional_id,
                                   record_report *report, void *arg, struct record_producer **ret, struct error *err) MUST_CHECK;
/* Would it be refused, whoever the brokers are? Reaches nobody. */
enum status record_producer_check(const struct settings *settings, struct error *err) MUST_CHECK;
/* What is still queued is given up, with a report each. Blocks for DESTROY_MS at most, whatever the client does. False: it
 * hasn't ended by then, and with what its reports touch is left to the process's end, which must be next. NULL is fine. */
bool record_producer_destroy(struct record_producer *producer) MUST_CHECK;

/* Enqueue what the task owes, in the form that it has now; block on nothing. AGAIN: the client's queue is full. FAILED: *why. Keeps a
 * reference of task until it is reported. */
enum status record_producer_reply(struct record_producer *producer, struct task *task, struct refusal *why) MUST_CHECK;
enum status record_producer_dead_letter(struct record_producer *producer, struct task *task, struct refusal *why) MUST_CHECK;

/* To poll, to flush, to make transactions with. */
rd_kafka_t *record_producer_client(struct record_producer *producer);

#endif
