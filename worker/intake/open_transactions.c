#include "intake/open_transactions.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define ANSWER_MS 1000
#define LATEST RD_KAFKA_OFFSET_END /* as a time in ListOffsets; for a read_committed consumer the answer is the last stable offset */

struct open_transactions {
    rd_kafka_t *consumer;
    int64_t bound_ms;
    rd_kafka_topic_partition_list_t *suspects; /* opaque: struct standstill; those with an open transaction at the last look */
};

bool standstill_look(struct standstill *standstill, int64_t stable, int64_t end, int64_t now_ms, int64_t bound_ms)
{
    if (stable >= end)
        *standstill = (struct standstill){0};
    else if (!standstill->stands || standstill->offset != stable)
        *standstill = (struct standstill){.stands = true, .offset = stable, .since_ms = now_ms};
    if (!standstill->stands || standstill->reported || now_ms - standstill->since_ms < bound_ms)
        return false;
    standstill->reported = true;
    return true;
}

struct open_transactions *open_transactions_create(rd_kafka_t *consumer, int64_t bound_ms)
{
    struct open_transactions *open = xcalloc(1, sizeof *open);
    open->consumer = consumer;
    open->bound_ms = bound_ms;
    open->suspects = rd_kafka_topic_partition_list_new(0);
    return open;
}

static void suspects_finish(rd_kafka_topic_partition_list_t *suspects)
{
    for (int i = 0; i < suspects->cnt; i++)
        free(suspects->elems[i].opaque);
    rd_kafka_topic_partition_list_destroy(suspects);
}

void open_transactions_destroy(struct open_transactions *open)
{
    if (open == NULL)
        return;
    suspects_finish(open->suspects);
    free(open);
}

/* The log end offset, as of the last fetch. */
static int64_t log_end(rd_kafka_t *consumer, const rd_kafka_topic_partition_t *place)
{
    int64_t first, end;
    rd_kafka_resp_err_t err = rd_kafka_get_watermark_offsets(consumer, place->topic, place->partition, &first, &end);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? end : RD_KAFKA_OFFSET_INVALID;
}

/* Assigned partitions whose position is before the log end offset: perhaps there is only a transaction's marker between. */
static rd_kafka_topic_partition_list_t *unread(rd_kafka_t *consumer)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(0);
    rd_kafka_topic_partition_list_t *assigned = NULL;
    if (rd_kafka_assignment(consumer, &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return list;
    bool known = rd_kafka_position(consumer, assigned) == RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; known && i < assigned->cnt; i++)
        if (assigned->elems[i].offset < log_end(consumer, &assigned->elems[i]))
            rd_kafka_topic_partition_list_add(list, assigned->elems[i].topic, assigned->elems[i].partition)->offset = LATEST;
    rd_kafka_topic_partition_list_destroy(assigned);
    return list;
}

static void tell(const rd_kafka_topic_partition_t *place, const struct standstill *standstill, int64_t now_ms)
{
    log_warn("transaction_stays_open", F_STR("topic", place->topic), F_INT("partition", place->partition), F_INT("offset", standstill->offset),
             F_INT("for_ms", now_ms - standstill->since_ms),
             F_STR("hint", "no job from this offset on is read before the transaction that begins there has ended; if its producer is gone, end it: "
                           "kafka-transactions.sh abort --topic TOPIC --partition PARTITION --start-offset OFFSET"));
}

void open_transactions_look(struct open_transactions *open)
{
    rd_kafka_topic_partition_list_t *list = unread(open->consumer);
    rd_kafka_topic_partition_list_t *suspects = rd_kafka_topic_partition_list_new(0);
    bool answered = list->cnt == 0 || rd_kafka_offsets_for_times(open->consumer, list, ANSWER_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
    int64_t now_ms = clock_mono_ms();
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *place = &list->elems[i];
        const rd_kafka_topic_partition_t *before = rd_kafka_topic_partition_list_find(open->suspects, place->topic, place->partition);
        struct standstill standstill = before != NULL ? *(const struct standstill *)before->opaque : (struct standstill){0};
        /* Without an answer the standstill is kept as it was. */
        if (answered && place->err == RD_KAFKA_RESP_ERR_NO_ERROR && place->offset >= 0 &&
            standstill_look(&standstill, place->offset, log_end(open->consumer, place), now_ms, open->bound_ms))
            tell(place, &standstill, now_ms);
        if (standstill.stands)
            rd_kafka_topic_partition_list_add(suspects, place->topic, place->partition)->opaque = xmemdup0(&standstill, sizeof standstill);
    }
    rd_kafka_topic_partition_list_destroy(list);
    suspects_finish(open->suspects);
    open->suspects = suspects;
}
