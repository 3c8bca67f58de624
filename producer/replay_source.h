/* The dead letters that wait for a replay: from the committed offset of the group chat-replay.<dead topic> up to
 * the end at the time of opening. One thread. */
#ifndef CHAT_PRODUCER_REPLAY_SOURCE_H
#define CHAT_PRODUCER_REPLAY_SOURCE_H

#include <librdkafka/rdkafka.h>

#include "base/error.h"
#include "command.h"
#include "wire/record.h"

struct replay_span {
    int64_t next; /* offset to read next: what is committed once the letters before it are done */
    int64_t end;  /* the first offset that isn't ours to read */
    bool read;    /* nothing left in it */
    bool moved;   /* next isn't committed yet */
};

struct replay_source {
    rd_kafka_t *consumer;
    const char *topic; /* borrowed */
    rd_kafka_topic_partition_list_t *places;
    struct replay_span *spans; /* one for each of places */
    int64_t total;             /* offsets between starts and ends: at least the number of letters */
    int64_t done;
    bool forgets; /* a mock cluster: a transaction's offsets aren't kept, replay_source_settled commits them */
};

/* Blocks up to a minute. With execute, open the source after init_transactions: an earlier replay is then out of the
 * way and its offsets are settled. FAILED: nothing to close. */
enum status replay_source_open(struct replay_source *source, const struct common *common, const char *group, const char *topic,
                               struct error *err) MUST_CHECK;
/* OK: *ret_letter, the caller ends it with record_finish. AGAIN: nothing within wait_ms. CLOSED: all read. */
enum status replay_source_next(struct replay_source *source, int wait_ms, struct record *ret_letter, struct error *err) MUST_CHECK;
/* The offsets that moved since the last replay_source_settled; NULL: none. The caller destroys the list. */
rd_kafka_topic_partition_list_t *replay_source_offsets(const struct replay_source *source);
/* Call once the transaction that carries those offsets is committed. */
void replay_source_settled(struct replay_source *source);
void replay_source_close(struct replay_source *source);

#endif
