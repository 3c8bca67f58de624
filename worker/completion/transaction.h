/* The calls of a transactional producer, each made until it has an answer that decides something: done, abort, or end.
 * One thread's, but for transaction_follow.
 *
 * A call is made with a time-out of a second or some, and again until time_is_up. rd_kafka_send_offsets_to_transaction never looks at its
 * time-out (librdkafka's issue 5456): while the group's coordinator can't be reached it doesn't come back, whoever waits. So nobody may
 * wait for this thread without a bound; publisher_txn.c leaves it behind.
 *
 * A call that is made again must not feed the watchdog: a turn of chat-txn is a round (publisher_txn.c), and one try after the other, each back in
 * time, takes it no further than one call that stays away. While a broker is away either is an outage. While all answer, what has lasted for longer
 * than the client's time-outs and the transaction's own ends with a new process alone (`transactions_stuck`, telemetry/watchdog.h); fed by each
 * try it would go on for ever, and its partitions stand still. */
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
    ANSWER_END    /* no more: why->error is FATAL, or CANCELLED when time_is_up; then what is open ends at the broker by its time-out */
};

/* Why a transaction isn't committed. */
enum stop_reason {
    STOP_BY_KAFKA,           /* an error of a call */
    STOP_METADATA_TOO_LARGE, /* the same: what was to be said of a partition is longer than the broker allows */
    STOP_REVOKED,            /* a partition in it went to another worker */
    STOP_NO_MEMBER,          /* this worker is in no group now, or back in it as another member than its partitions were given to */
    STOP_SET_FULL,           /* what is done out of order doesn't fit into a commit */
    STOP_RECORD,             /* a record of it was refused, or found no room */
    STOP_CLOSING
};

struct stop {
    enum stop_reason reason;
    struct error error; /* for the log */
};

void transaction_init(struct transaction *transaction, rd_kafka_t *client, bool (*time_is_up)(void *arg), void *arg);
void transaction_finish(struct transaction *transaction);

/* Fences an older process of this transactional id and ends what it left open: with a group.instance.id, at once; else
 * that ends by its time-out, and the partitions it held wait so long. Blocks up to wait_ms, at least some seconds. */
enum status transaction_start(struct transaction *transaction, int64_t wait_ms, bool (*give_up)(void), struct error *err) MUST_CHECK;

/* Nothing if it is open. */
enum answer transaction_begin(struct transaction *transaction, struct stop *why);
enum answer transaction_send_offsets(struct transaction *transaction, const rd_kafka_topic_partition_list_t *offsets,
                                     const rd_kafka_consumer_group_metadata_t *membership, struct stop *why);
enum answer transaction_commit(struct transaction *transaction, struct stop *why);
/* OK or END. Nothing if none is open. */
enum answer transaction_abort(struct transaction *transaction, struct stop *why);

/* The consumer whose group fences the offsets; NULL: it is about to go. Any thread. */
void transaction_follow(struct transaction *transaction, rd_kafka_t *consumer);
/* What the group knows of us. The member id is asked for after the metadata, which are that member's or an earlier one's: those the broker refuses. */
struct membership {
    rd_kafka_consumer_group_metadata_t *metadata;
    char *member;
};

/* False: we are no member. The broker doesn't fence who names no member, so such is never given. */
bool transaction_membership(struct transaction *transaction, struct membership *ret) MUST_CHECK;
void membership_finish(struct membership *membership);

#endif
