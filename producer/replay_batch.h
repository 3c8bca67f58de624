/* Sends dead letters back. A batch of them and the group's offsets are in one transaction, so that a dead letter is sent once however often
 * replay runs or crashes; the transactional id is the group's, so that of two replays at once the later one fences the earlier.
 *
 * A dead letter that Kafka refuses for a fault of its own (too large, say, or a topic that doesn't exist) is skipped and reported: if the
 * client refuses it, at once; a broker refuses its whole batch, so the transaction and the client are given up, and its dead letters are sent
 * one by one, each in a transaction of its own. The committed offset then passes the dead letter. Any other refusal ends the replay. One thread. */
#ifndef CHAT_PRODUCER_REPLAY_BATCH_H
#define CHAT_PRODUCER_REPLAY_BATCH_H

#include <librdkafka/rdkafka.h>

#include "base/error.h"
#include "command.h"
#include "replay_source.h"
#include "wire/record.h"

#define REPLAY_BATCH_DEAD_LETTERS_MAX 500

struct replay_dead_letter {
    struct record record; /* owned; the record to send */
    char *target;         /* owned */
    int32_t partition;    /* the job's own, or RD_KAFKA_PARTITION_UA */
    rd_kafka_resp_err_t refused;
};

typedef void replay_not_sent(const struct record *dead_letter, const char *why, void *arg);

struct replay_target; /* a topic with its metadata */

struct replay_batch {
    rd_kafka_t *producer; /* NULL: not open */
    struct replay_source *source;  /* borrowed; NULL: no offsets are committed */
    const char *dead_topic;        /* borrowed */
    const struct common *common;   /* this and the next: borrowed */
    const char *group;
    replay_not_sent *not_sent;
    void *arg;
    struct replay_dead_letter dead_letters[REPLAY_BATCH_DEAD_LETTERS_MAX];
    size_t count;
    size_t bytes; /* of their values */
    bool in_transaction;
    bool ends; /* delivery reports from now on are of records given up, not refused */
    int64_t began_ms; /* clock_mono_ms */
    int64_t sent;     /* dead letters whose transaction is committed */
    rd_kafka_resp_err_t refused_code; /* why the first record wasn't acknowledged */
    char refused[160];                /* that reason as text, with the topic; "": none */
    struct replay_target *targets;
    size_t target_count;
};

/* Blocks up to a minute, until an earlier replay is fenced. batch is all zero, except dead_topic, not_sent and arg. */
enum status replay_batch_open(struct replay_batch *batch, const struct common *common, const char *group, struct error *err) MUST_CHECK;
/* Does the topic exist, and may we write to it? FAILED: no (ERROR_PERMANENT), or no broker answers (ERROR_UNAVAILABLE). */
enum status replay_batch_target(struct replay_batch *batch, const char *topic, struct error *err) MUST_CHECK;
/* Takes *dead_letter, and queues it or calls not_sent. partition: the job's own, so that its session stays in order with the jobs around it;
 * if the topic has no such partition the key decides. */
enum status replay_batch_add(struct replay_batch *batch, struct record *dead_letter, const char *target, int32_t partition, struct error *err) MUST_CHECK;
/* Is the batch full, or its transaction open for so long that the broker might abort it? */
bool replay_batch_is_due(const struct replay_batch *batch);
enum status replay_batch_commit(struct replay_batch *batch, struct error *err) MUST_CHECK;
/* Uncommitted dead letters aren't sent. All zero is fine. */
void replay_batch_close(struct replay_batch *batch);

#endif
