#include "completion/transaction.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define STEP_MS 1000   /* the time-out of a call; it is repeated then */
#define AGAIN_MS 5     /* between two calls, should the first return at once */
#define START_MS 15000 /* the least time for the coordinator to be found and to abort an older process's transaction */
#define ABORTS_MAX 10

void transaction_init(struct transaction *t, rd_kafka_t *client, bool (*time_is_up)(void *arg), void *arg)
{
    *t = (struct transaction){.client = client, .time_is_up = time_is_up, .arg = arg};
    mutex_init(&t->lock);
}

void transaction_finish(struct transaction *t)
{
    mutex_destroy(&t->lock);
}

/* Frees *error. *again: the call must be repeated. */
static enum answer judge(struct transaction *t, const char *doing, rd_kafka_error_t *error, bool *again, struct stop *why)
{
    *again = false;
    if (error == NULL)
        return ANSWER_OK;
    bool retriable = rd_kafka_error_is_retriable(error) && !rd_kafka_error_txn_requires_abort(error);
    bool ends = rd_kafka_error_is_fatal(error) || (retriable && t->time_is_up(t->arg));
    why->reason = rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE ? STOP_METADATA_TOO_LARGE : STOP_BY_KAFKA;
    error_set(&why->error, rd_kafka_error_is_fatal(error) ? ERROR_FATAL : ends ? ERROR_CANCELLED : ERROR_RETRIABLE, rd_kafka_error_name(error), "%s: %s",
              doing, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    if (ends)
        return ANSWER_END;
    if (!retriable)
        return ANSWER_ABORT;
    rd_kafka_poll(t->client, AGAIN_MS);
    *again = true;
    return ANSWER_OK;
}

enum answer transaction_begin(struct transaction *t, struct stop *why)
{
    bool again;
    enum answer answer;
    if (t->open)
        return ANSWER_OK;
    do
        answer = judge(t, "beginning", rd_kafka_begin_transaction(t->client), &again, why);
    while (again);
    t->open = answer == ANSWER_OK;
    t->opened_ms = clock_mono_ms();
    return answer;
}

enum answer transaction_send_offsets(struct transaction *t, const rd_kafka_topic_partition_list_t *offsets,
                                     const rd_kafka_consumer_group_metadata_t *membership, struct stop *why)
{
    bool again;
    enum answer answer;
    do
        answer = judge(t, "sending offsets", rd_kafka_send_offsets_to_transaction(t->client, offsets, membership, 5 * STEP_MS), &again, why);
    while (again);
    return answer;
}

enum answer transaction_commit(struct transaction *t, struct stop *why)
{
    bool again;
    enum answer answer;
    do
        answer = judge(t, "committing", rd_kafka_commit_transaction(t->client, STEP_MS), &again, why);
    while (again);
    if (answer == ANSWER_OK)
        t->open = false;
    return answer;
}

enum answer transaction_abort(struct transaction *t, struct stop *why)
{
    bool again = t->open;
    enum answer answer = ANSWER_OK;
    for (int tries = 0; again || answer == ANSWER_ABORT; tries += answer == ANSWER_ABORT) {
        if (tries == ABORTS_MAX) {
            why->error.class = ERROR_FATAL; /* a transaction that can't be aborted blocks the producer */
            return ANSWER_END;
        }
        answer = judge(t, "aborting", rd_kafka_abort_transaction(t->client, STEP_MS), &again, why);
    }
    if (answer == ANSWER_OK)
        t->open = false;
    return answer;
}

void transaction_follow(struct transaction *t, rd_kafka_t *consumer)
{
    mutex_lock(&t->lock);
    t->consumer = consumer;
    mutex_unlock(&t->lock);
}

bool transaction_membership(struct transaction *t, struct membership *ret)
{
    *ret = (struct membership){0};
    mutex_lock(&t->lock);
    if (t->consumer != NULL) {
        ret->metadata = rd_kafka_consumer_group_metadata(t->consumer);
        char *member = rd_kafka_memberid(t->consumer);
        if (member != NULL) {
            ret->member = xstrdup(member);
            rd_kafka_mem_free(t->consumer, member);
        }
    }
    mutex_unlock(&t->lock);
    if (ret->metadata != NULL && ret->member != NULL && ret->member[0] != '\0')
        return true;
    membership_finish(ret);
    return false;
}

void membership_finish(struct membership *membership)
{
    if (membership->metadata != NULL)
        rd_kafka_consumer_group_metadata_destroy(membership->metadata);
    free(membership->member);
    *membership = (struct membership){0};
}

enum status transaction_start(struct transaction *t, int64_t wait_ms, bool (*give_up)(void), struct error *err)
{
    int64_t until = clock_mono_ms() + (wait_ms > START_MS ? wait_ms : START_MS);
    for (;;) {
        rd_kafka_error_t *error = rd_kafka_init_transactions(t->client, STEP_MS);
        if (error == NULL)
            return STATUS_OK;
        bool again = rd_kafka_error_is_retriable(error) && !rd_kafka_error_is_fatal(error);
        (void)error_set(err, again ? ERROR_UNAVAILABLE : ERROR_PERMANENT, again ? "transactions_unavailable" : "transactions_refused",
                        "Kafka %s worker.delivery = exactly-once (%s: %.90s); check %s", again ? "isn't ready for" : "refuses", rd_kafka_error_name(error),
                        rd_kafka_error_string(error), again ? "its transaction coordinator" : "the permissions of its transactional id, and transaction.timeout.ms");
        rd_kafka_error_destroy(error);
        if (!again || clock_mono_ms() >= until)
            return STATUS_FAILED;
        if (give_up != NULL && give_up())
            return error_set(err, ERROR_CANCELLED, "stopped", "stopped while waiting to start");
    }
}
