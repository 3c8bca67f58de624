#include "intake/pausing.h"

#include <stdatomic.h>
#include <stdint.h>

#include "dispatch/dispatcher.h"
#include "dispatch/weather.h"
#include "ops/held_back.h"
#include "ops/metrics.h"

#define FULL_MS 5  /* the buffer has room again with the next job that ends */
#define CLOSED_MS 20

/* To where it would go on anyway: a resume alone doesn't wake librdkafka's thread, which while all of a broker's partitions are paused
 * sleeps for up to a second; a seek does. From 2.1 on one does that has the record's leader epoch, which the broker is
 * asked about then; without it, the position would lose its own. */
static void seek_on(rd_kafka_t *consumer, const struct partition *partition)
{
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(one, partition->topic, partition->id);
    bool wakes = partition->next >= 0;
    item->offset = partition->next;
#ifdef CHAT_LEADER_EPOCHS
    wakes = wakes && partition->next_epoch >= 0;
    rd_kafka_topic_partition_set_leader_epoch(item, partition->next_epoch);
#endif
    if (wakes)
        rd_kafka_error_destroy(rd_kafka_seek_partitions(consumer, one, 0));
    rd_kafka_topic_partition_list_destroy(one);
}

static bool set_paused(rd_kafka_t *consumer, struct partition *partition, bool paused)
{
    if (paused == partition->paused)
        return false;
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(one, partition->topic, partition->id);
    /* Only what we paused is resumed: resuming another may rewind it (librdkafka before 2.4.0). */
    rd_kafka_resp_err_t rc = paused ? rd_kafka_pause_partitions(consumer, one) : rd_kafka_resume_partitions(consumer, one);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        partition->paused = paused;
    rd_kafka_topic_partition_list_destroy(one);
    return rc == RD_KAFKA_RESP_ERR_NO_ERROR;
}

void pausing_resume(rd_kafka_t *consumer, struct partition *partition)
{
    (void)set_paused(consumer, partition, false);
}

static bool is_full(const struct service *service, int64_t alive)
{
    const struct settings *settings = service->settings;
    return alive >= settings->worker.threads + settings->worker.buffered_jobs_max || metric_get(METRIC_jobs_alive_bytes) >= settings->worker.buffered_bytes_max;
}

/* What counts is what is alive, from the record's arrival to its acknowledgement: it can't leak. */
int pausing_hold_ms(const struct service *service, bool held)
{
    int64_t alive = metric_get(METRIC_jobs_alive);
    if (held || weather_intake(service->weather, alive) == INTAKE_CLOSED)
        return CLOSED_MS;
    if (alive == 0) /* a job larger than the whole buffer is let in alone */
        return 0;
    return is_full(service, alive) ? FULL_MS : 0;
}

/* Jobs that wait behind another of their session have a share of the buffer for each partition: a hot key pauses its own
 * partition alone, however many jobs stand in line. It is resumed at half of that, since a pause throws the prefetch away. */
static bool wants_pause(const struct service *service, const struct grants *grants, const struct partition *partition)
{
    int64_t behind_max = service->settings->worker.buffered_jobs_max / 2 / (int64_t)grants->count + 1;
    if (partition->paused)
        behind_max -= behind_max / 2;
    return partition->set_is_full || atomic_load(&partition->behind) > behind_max;
}

/* How many partitions give nothing for want of room: all of them, or those whose share is used up. */
static int64_t count_without_room(const struct service *service, const struct grants *grants)
{
    int64_t alive = metric_get(METRIC_jobs_alive), count = 0;
    if (dispatcher_waits_for_ends(service->dispatcher) || (alive > 0 && is_full(service, alive)))
        return (int64_t)grants->count;
    for (size_t i = 0; i < grants->count; i++)
        count += grants->partitions[i]->paused && !grants->partitions[i]->set_is_full;
    return count;
}

void pausing_look(const struct service *service, rd_kafka_t *consumer, struct prefetch *prefetch, const struct grants *grants, bool held_back)
{
    int64_t paused = 0, sets_full = 0;
    for (size_t i = 0; i < grants->count; i++) {
        struct partition *partition = grants->partitions[i];
        bool changed = set_paused(consumer, partition, wants_pause(service, grants, partition));
        if (changed && partition->paused)
            prefetch_note_purged(prefetch);
        else if (changed)
            seek_on(consumer, partition);
        paused += partition->paused;
        sets_full += partition->set_is_full;
    }
    METRIC_SET(partitions_paused, held_back ? (int64_t)grants->count : paused);
    held_back_set(HELD_BACK_COMPLETED_SET, HELD_BACK_NO_PROVIDER, sets_full);
    held_back_set(HELD_BACK_BUFFER, HELD_BACK_NO_PROVIDER, count_without_room(service, grants));
}
