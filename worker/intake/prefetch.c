#include "intake/prefetch.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "intake/fetch_rest.h"
#include "intake/fetch_wake.h"
#include "intake/fetch_watch.h"
#include "telemetry/metrics.h"

struct prefetch {
    rd_kafka_t *consumer;
    rd_kafka_queue_t *queue;
    struct fetch_watch watch;
    struct fetch_rest rest;
    bool must_wake; /* only a seek ends a rest */
};

static bool needs_waking(void)
{
    return rd_kafka_version() < 0x02010000;
}

struct prefetch *prefetch_create(rd_kafka_conf_t *conf)
{
    struct prefetch *prefetch = xcalloc(1, sizeof *prefetch);
    prefetch->must_wake = needs_waking();
    if (prefetch->must_wake)
        fetch_watch_install(conf, &prefetch->watch);
    return prefetch;
}

/* The effective value: the settings may set it, too. */
static int64_t property(rd_kafka_t *consumer, const char *name)
{
    char value[32] = "";
    size_t size = sizeof value;
    return rd_kafka_conf_get(rd_kafka_conf(consumer), name, value, &size) == RD_KAFKA_CONF_OK ? atoll(value) : 0;
}

void prefetch_begin(struct prefetch *prefetch, rd_kafka_t *consumer)
{
    prefetch->consumer = consumer;
    prefetch->queue = rd_kafka_queue_new(consumer);
    fetch_rest_init(&prefetch->rest, property(consumer, "queued.min.messages"), property(consumer, "queued.max.messages.kbytes") * 1000);
}

void prefetch_end(struct prefetch *prefetch)
{
    rd_kafka_queue_destroy(prefetch->queue);
    prefetch->queue = NULL;
}

void prefetch_destroy(struct prefetch *prefetch)
{
    free(prefetch);
}

static void follow(struct prefetch *prefetch, const char *topic, int32_t partition)
{
    rd_kafka_queue_t *of_one = rd_kafka_queue_get_partition(prefetch->consumer, topic, partition);
    if (of_one == NULL)
        return; /* then its records come by the consumer's queue */
    rd_kafka_queue_forward(of_one, prefetch->queue);
    rd_kafka_queue_destroy(of_one);
}

/* Set before the assignment, it takes precedence over librdkafka's own, to the consumer's queue. */
void prefetch_follow(struct prefetch *prefetch, const rd_kafka_topic_partition_list_t *assigned)
{
    for (int i = 0; i < assigned->cnt; i++)
        follow(prefetch, assigned->elems[i].topic, assigned->elems[i].partition);
}

/* librdkafka's main thread has stopped each of them before it answers what was asked after the assignment. */
void prefetch_follow_again(struct prefetch *prefetch, const rd_kafka_topic_partition_list_t *restarted)
{
    char *member = rd_kafka_memberid(prefetch->consumer);
    if (member != NULL)
        rd_kafka_mem_free(prefetch->consumer, member);
    prefetch_follow(prefetch, restarted);
}

void prefetch_follow_stray(struct prefetch *prefetch, const rd_kafka_message_t *message)
{
    follow(prefetch, rd_kafka_topic_name(message->rkt), message->partition);
}

void prefetch_note_purged(struct prefetch *prefetch)
{
    fetch_rest_note_purged(&prefetch->rest);
}

static void wake(struct prefetch *prefetch, const struct assignments *assignments, uint64_t resting)
{
    rd_kafka_topic_partition_list_t *list = fetch_wake_list(assignments, resting, prefetch->rest.wakes > 0);
    if (list->cnt > 0) {
        rd_kafka_error_destroy(rd_kafka_seek_partitions(prefetch->consumer, list, 0));
        METRIC_INC(fetch_wakes_total);
    }
    rd_kafka_topic_partition_list_destroy(list);
    fetch_rest_note_woken(&prefetch->rest);
}

static rd_kafka_message_t *consume(struct prefetch *prefetch, int timeout_ms)
{
    rd_kafka_message_t *message = rd_kafka_consume_queue(prefetch->queue, timeout_ms);
    if (message != NULL)
        fetch_rest_note_taken(&prefetch->rest, message->len);
    return message;
}

rd_kafka_message_t *prefetch_take(struct prefetch *prefetch)
{
    return consume(prefetch, 0);
}

rd_kafka_message_t *prefetch_wait(struct prefetch *prefetch, const struct assignments *assignments, int timeout_ms)
{
    uint64_t resting = prefetch->must_wake && fetch_rest_is_likely(&prefetch->rest) ? fetch_watch_resting(&prefetch->watch) : 0;
    if (resting != 0)
        wake(prefetch, assignments, resting);
    return consume(prefetch, timeout_ms);
}
