#include "intake/pausing.h"

#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"
#include "dispatch/weather.h"
#include "ops/metrics.h"

static void set_paused(rd_kafka_t *consumer, struct partition *partition, bool paused)
{
    if (paused == partition->paused)
        return;
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(one, partition->topic, partition->id);
    /* Only what we paused is resumed: resuming another may rewind it (librdkafka before 2.4.0). */
    rd_kafka_resp_err_t rc = paused ? rd_kafka_pause_partitions(consumer, one) : rd_kafka_resume_partitions(consumer, one);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        partition->paused = paused;
    if (!paused && partition->next != RD_KAFKA_OFFSET_INVALID && rd_kafka_version() < 0x02010000) {
        /* To where it would go on anyway. A resume alone doesn't wake librdkafka's thread, which while all of a broker's
         * partitions are paused sleeps for up to a second; a seek does (its rd_kafka_toppar_seek). From 2.1 on it no longer does, and would
         * cost the position's leader epoch. */
        one->elems[0].offset = partition->next;
        rd_kafka_error_destroy(rd_kafka_seek_partitions(consumer, one, 0));
    }
    rd_kafka_topic_partition_list_destroy(one);
}

void pausing_resume(rd_kafka_t *consumer, struct partition *partition)
{
    set_paused(consumer, partition, false);
}

/* The level at which partitions are paused, or three quarters of it, below which they are resumed. */
static bool is_full(const struct service *service, bool resuming)
{
    const struct settings *settings = service->settings;
    int64_t jobs_max = settings->worker.buffered_jobs_max;
    int64_t bytes_max = settings->worker.buffered_bytes_max;
    if (resuming) {
        jobs_max -= jobs_max / 4;
        bytes_max -= bytes_max / 4;
    }
    return metric_get(METRIC_jobs_alive) >= settings->worker.threads + jobs_max || metric_get(METRIC_jobs_alive_bytes) >= bytes_max;
}

/* While one job more is wanted, and nobody knows which partition has one: each for a second. */
static const struct partition *whose_turn(const struct grants *grants)
{
    return grants->partitions[(size_t)(clock_mono_ms() / 1000) % grants->count];
}

/* What counts is what is alive, from the record's arrival to its acknowledgement: it can't leak. The resume level
 * is near the pause level, so that the threads don't run dry while a fetch starts again, but not at it, since a
 * pause throws the prefetch away. Jobs that wait behind another of their session have a share of the buffer for
 * each partition: a hot key pauses its own partition alone, however many jobs stand in line. */
static bool wants_pause(const struct service *service, const struct grants *grants, bool held, const struct partition *partition)
{
    int64_t behind_max = service->settings->worker.buffered_jobs_max / 2 / (int64_t)grants->count + 1;
    if (partition->paused)
        behind_max -= behind_max / 2;
    enum weather_intake weather = weather_intake(service->weather, metric_get(METRIC_jobs_alive));
    if (held || weather == INTAKE_CLOSED || (weather == INTAKE_ONE && partition != whose_turn(grants)))
        return true;
    if (metric_get(METRIC_jobs_alive) == 0) /* a job larger than the whole buffer is let in alone */
        return false;
    return partition->set_is_full || is_full(service, partition->paused) || atomic_load(&partition->behind) > behind_max;
}

bool pausing_is_urgent(const struct service *service)
{
    return is_full(service, false) || weather_intake(service->weather, metric_get(METRIC_jobs_alive)) != INTAKE_FREE;
}

bool pausing_look(const struct service *service, rd_kafka_t *consumer, const struct grants *grants, bool held)
{
    int64_t paused = 0;
    for (size_t i = 0; i < grants->count; i++) {
        struct partition *partition = grants->partitions[i];
        set_paused(consumer, partition, wants_pause(service, grants, held, partition));
        paused += partition->paused;
    }
    METRIC_SET(partitions_paused, paused);
    return paused > 0;
}
