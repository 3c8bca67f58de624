/* The dead letters that wait for a replay: from the committed offset of the group chat-replay.<dead topic> up to
 * the end at the time of opening. One thread. */
#ifndef CHAT_PRODUCER_REPLAY_SOURCE_H
#define CHAT_PRODUCER_REPLAY_SOURCE_H

#include <librdkafka/rdkafka.h>

#include "base/error.h"
#include "command.h"
#include "wire/record.h"

struct replay_span {
    int64_t next; /* offset to read next, committed once the dead letters before it are done */
    int64_t end;  /* the first offset that isn't read */
    bool read;    /* nothing left in it */
    bool moved;   /* next isn't committed yet */
};

struct replay_source {
    rd_kafka_t *consumer;
    const char *topic; /* borrowed */
    rd_kafka_topic_partition_list_t *places;
    struct replay_span *spans; /* one for each element of places */
    int64_t total;             /* offsets between starts and ends: at least the number of dead letters */
    int64_t done;
    bool forgets; /* a mock cluster: doesn't store a transaction's offsets, so replay_source_settled commits them */
};

/* Where one dead letter is, as replay's lists name it: TOPIC-PARTITION-OFFSET. */
struct replay_place {
    int32_t partition;
    int64_t offset;
};
/* False: not a place of that topic. */
bool replay_place_read(const char *text, const char *topic, struct replay_place *ret);

/* Blocks up to a minute. With execute, open the source after init_transactions: then an earlier replay is fenced
 * and its offsets are final. waiting: dead letters behind the group's offsets are read, with replay_source_next; else any one, with
 * replay_source_one. FAILED: nothing to close. */
enum status replay_source_open(struct replay_source *source, const struct common *common, const char *group, const char *topic, bool waiting,
                               struct error *err) MUST_CHECK;
/* OK: *ret_dead_letter, freed by the caller with record_finish. CLOSED: there is no record. Blocks up to wait_ms, or until Ctrl-C. */
enum status replay_source_one(struct replay_source *source, const struct replay_place *place, int64_t wait_ms, struct record *ret_dead_letter, struct error *err) MUST_CHECK;
/* OK: *ret_dead_letter, freed by the caller with record_finish. AGAIN: none within wait_ms. CLOSED: all read. */
enum status replay_source_next(struct replay_source *source, int wait_ms, struct record *ret_dead_letter, struct error *err) MUST_CHECK;
/* The offsets that moved since the last replay_source_settled; NULL: none. The caller destroys the list. */
rd_kafka_topic_partition_list_t *replay_source_offsets(const struct replay_source *source);
/* Call once the transaction with those offsets is committed. */
void replay_source_settled(struct replay_source *source);
void replay_source_close(struct replay_source *source);

#endif
