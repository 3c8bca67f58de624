#include "intake/fetch_wake.h"

#include <stddef.h>

#include "intake/fetch_watch.h"

#define BROKERS_MAX 64 /* with more, all are sought */

struct brokers {
    int32_t ids[BROKERS_MAX];
    size_t count;
};

static bool contains(const struct brokers *brokers, int32_t id)
{
    for (size_t i = 0; i < brokers->count; i++)
        if (brokers->ids[i] == id)
            return true;
    return false;
}

/* Is it the first partition of a resting broker? Then the broker is added. */
static bool wakes_another(struct brokers *woken, const struct partition *partition, uint64_t resting)
{
    if (partition->broker < 0 || (resting & fetch_watch_bit(partition->broker)) == 0 || woken->count == BROKERS_MAX || contains(woken, partition->broker))
        return false;
    woken->ids[woken->count++] = partition->broker;
    return true;
}

static bool all_are_woken(const struct brokers *woken, uint64_t resting)
{
    for (size_t i = 0; i < woken->count; i++)
        resting &= ~fetch_watch_bit(woken->ids[i]);
    return resting == 0 && woken->count < BROKERS_MAX;
}

rd_kafka_topic_partition_list_t *fetch_wake_list(const struct assignments *assignments, uint64_t resting, bool all)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)assignments->count + 1);
    struct brokers woken = {.count = 0};
    for (size_t i = 0; i < assignments->count; i++) {
        const struct partition *partition = assignments->partitions[i];
        if (!partition->paused && partition->next >= 0 && (all || wakes_another(&woken, partition, resting)))
            rd_kafka_topic_partition_list_add(list, partition->topic, partition->id)->offset = partition->next;
    }
    if (all || all_are_woken(&woken, resting))
        return list;
    rd_kafka_topic_partition_list_destroy(list);
    return fetch_wake_list(assignments, resting, true);
}
