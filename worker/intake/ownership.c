#include "intake/ownership.h"

#include <stdbool.h>
#include <stdio.h>

/* The partition isn't fetched on purpose: its start isn't known yet, or it is being revoked. */
static bool is_in_a_step(const struct assignments *assignments, const rd_kafka_topic_partition_t *item)
{
    const struct partition *partition = assignments_find(assignments, item->topic, item->partition);
    return partition != NULL && (!partition->begun || partition->leaving);
}

void ownership_compare(struct ownership *ownership, struct group_watch *watch, rd_kafka_t *consumer, const struct assignments *assignments, int64_t now_ms)
{
    uint64_t number;
    rd_kafka_topic_partition_list_t *owned = group_watch_owned(watch, &number);
    rd_kafka_topic_partition_list_t *assigned = NULL;
    if (owned == NULL || rd_kafka_assignment(consumer, &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ownership->missing_since_ms = 0;
        if (owned != NULL)
            rd_kafka_topic_partition_list_destroy(owned);
        return;
    }
    if (number == ownership->answer) { /* compared already; the assignment may have changed since */
        rd_kafka_topic_partition_list_destroy(owned);
        rd_kafka_topic_partition_list_destroy(assigned);
        return;
    }
    ownership->answer = number;
    const rd_kafka_topic_partition_t *missing = NULL;
    for (int i = 0; i < owned->cnt && missing == NULL; i++)
        if (rd_kafka_topic_partition_list_find(assigned, owned->elems[i].topic, owned->elems[i].partition) == NULL &&
            !is_in_a_step(assignments, &owned->elems[i]))
            missing = &owned->elems[i];
    if (missing == NULL)
        ownership->missing_since_ms = 0;
    else if (ownership->missing_since_ms == 0)
        ownership->missing_since_ms = now_ms;
    if (missing != NULL)
        snprintf(ownership->missing, sizeof ownership->missing, "%.100s/%d", missing->topic, missing->partition);
    rd_kafka_topic_partition_list_destroy(owned);
    rd_kafka_topic_partition_list_destroy(assigned);
}
