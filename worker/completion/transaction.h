/* The calls of a transactional producer, each made until it has an answer that decides something: done, abort, or end.
 * One thread's, but for transaction_follow. */
#ifndef CHAT_COMPLETION_TRANSACTION_H
#define CHAT_COMPLETION_TRANSACTION_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/mutex.h"

struct transaction {
    rd_kafka_t *client; /* borrowed */
    bool (*time_is_up)(void *arg); /* asked while a call is made again and again */
    void *arg;
    bool open;
    int64_t opened_ms;

    struct mutex lock; /* held while the consumer is asked, so that it doesn't go meanwhile */
    rd_kafka_t *consumer;
};

enum answer {
    ANSWER_OK,
    ANSWER_ABORT, /* abort, and do it again in another; *why */
    ANSWER_END    /* no more: *why is FATAL, or CANCELLED when time_is_up; then what is open ends at the broker by its time-out */
};

void transaction_init(struct transaction *transaction, rd_kafka_t *client, bool (*time_is_up)(void *arg), void *arg);
void transaction_finish(struct transaction *transaction);

/* Fences an older process of this transactional id and ends what it left open: with a group.instance.id, at once; else
 * that ends by its time-out, and the partitions it held wait so long. Blocks up to wait_ms, at least some seconds. */
enum status transaction_start(struct transaction *transaction, int64_t wait_ms, bool (*give_up)(void), struct error *err) MUST_CHECK;

/* Nothing if it is open. */
enum answer transaction_begin(struct transaction *transaction, struct error *why);
enum answer transaction_send_offsets(struct transaction *transaction, const rd_kafka_topic_partition_list_t *offsets,
                                     const rd_kafka_consumer_group_metadata_t *membership, struct error *why);
enum answer transaction_commit(struct transaction *transaction, struct error *why);
/* OK or END. Nothing if none is open. */
enum answer transaction_abort(struct transaction *transaction, struct error *why);

/* The consumer whose group fences the offsets; NULL: it is about to go. Any thread. */
void transaction_follow(struct transaction *transaction, rd_kafka_t *consumer);
/* What the group knows of us now; NULL: we are no member. The broker doesn't fence who names no member, so such is never
 * given. The caller destroys it. */
rd_kafka_consumer_group_metadata_t *transaction_membership(struct transaction *transaction);

#endif
