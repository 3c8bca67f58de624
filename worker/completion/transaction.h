/* The calls of a transactional producer, each repeated until the result is final: done, abort, or end.
 * One thread only, except transaction_follow.
 *
 * A call has a time-out of a second or a few, and is repeated until time_is_up. rd_kafka_send_offsets_to_transaction ignores its
 * time-out (librdkafka's issue 5456): while the group's coordinator can't be reached it doesn't return. So nothing may
 * wait for this thread without a bound; publisher_txn.c leaves it running.
 *
 * Repeating a call must not feed the watchdog: chat-txn feeds it once a round (publisher_txn.c), and one call after the other, each returning in
 * time, is no more progress than one call that doesn't return. While a broker is away either is an outage. While all answer, a call that has lasted longer
 * than the client's time-outs and the transaction's own is only ended by a new process (`transactions_stuck`, telemetry/watchdog.h); if each
 * repetition fed the watchdog, it would go on for ever, and its partitions would be stuck. */
#ifndef CHAT_COMPLETION_TRANSACTION_H
#define CHAT_COMPLETION_TRANSACTION_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/mutex.h"

struct transaction {
    rd_kafka_t *client; /* borrowed */
    bool (*time_is_up)(void *arg); /* called between repetitions of a call */
    void *arg;
    bool open;
    int64_t opened_ms;

    struct mutex lock; /* held while the consumer is used, so that it isn't destroyed meanwhile */
    rd_kafka_t *consumer;
};

enum answer {
    ANSWER_OK,
    ANSWER_ABORT, /* abort, and repeat all in another transaction; *why */
    ANSWER_END    /* no more: why->error is FATAL, or CANCELLED when time_is_up; then the broker aborts the open transaction at its time-out */
};

/* Why a transaction isn't committed. */
enum stop_reason {
    STOP_BY_KAFKA,           /* an error of a call */
    STOP_METADATA_TOO_LARGE, /* such an error: a partition's commit metadata is longer than the broker allows */
    STOP_REVOKED,            /* a partition in it was revoked */
    STOP_NO_MEMBER,          /* this worker is in no group now, or under another member id than its partitions were assigned to */
    STOP_SET_FULL,           /* the completed set doesn't fit into the commit metadata */
    STOP_RECORD,             /* a record in it was refused, or the client had no room */
    STOP_CLOSING
};

struct stop {
    enum stop_reason reason;
    struct error error; /* for the log */
};

void transaction_init(struct transaction *transaction, rd_kafka_t *client, bool (*time_is_up)(void *arg), void *arg);
void transaction_finish(struct transaction *transaction);

/* Fences an older process of this transactional id and aborts its open transaction: with a group.instance.id, at once; else
 * that one ends by its time-out, and its partitions wait so long. Blocks up to wait_ms, at least some seconds. */
enum status transaction_start(struct transaction *transaction, int64_t wait_ms, bool (*give_up)(void), struct error *err) MUST_CHECK;

/* Does nothing if one is open. */
enum answer transaction_begin(struct transaction *transaction, struct stop *why);
enum answer transaction_send_offsets(struct transaction *transaction, const rd_kafka_topic_partition_list_t *offsets,
                                     const rd_kafka_consumer_group_metadata_t *membership, struct stop *why);
enum answer transaction_commit(struct transaction *transaction, struct stop *why);
/* OK or END. Does nothing if none is open. */
enum answer transaction_abort(struct transaction *transaction, struct stop *why);

/* The consumer whose group fences the offsets; NULL: before it is destroyed. Any thread. */
void transaction_follow(struct transaction *transaction, rd_kafka_t *consumer);
/* Our membership in the group. The member id is read after the metadata, so these are of that member or an earlier one, whose offsets the broker refuses. */
struct membership {
    rd_kafka_consumer_group_metadata_t *metadata;
    char *member;
};

/* False: we are no member. The broker doesn't fence metadata without a member id, so such are never returned. */
bool transaction_membership(struct transaction *transaction, struct membership *ret) MUST_CHECK;
void membership_finish(struct membership *membership);

#endif
