#include "intake/set_restore.h"

#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "intake/offset_codec.h"
#include "ops/watchdog.h"

#define RESTORE_MS 5000
#define STEP_MS 1000
#define PAUSE_MS 100

struct restore {
    rd_kafka_t *consumer;
    const struct grants *grants;
    bool in_transactions;
    const atomic_bool *stopping;
    int64_t next_wait_log_ms;
};

/* Exactly-once can't go on without what was committed, so its grant waits; above all for a transaction that another
 * worker left open, which ends by its time-out. At-least-once tries for a while. */
static bool restore_again(struct restore *restore, int64_t until, const char *why)
{
    int64_t now = clock_mono_ms();
    watchdog_feed(WATCHED_INTAKE); /* each try has a bound, and how many it takes is the coordinator's affair */
    if (now >= restore->next_wait_log_ms) {
        log_info("completed_sets_wait", F_STR("reason", why));
        restore->next_wait_log_ms = now + RESTORE_MS;
    }
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    return (restore->in_transactions || now + PAUSE_MS < until) && !atomic_load(restore->stopping) && !rd_kafka_assignment_lost(restore->consumer);
}

/* Where the log ends now; 0 when the broker doesn't say: then a set counts for nothing. */
static int64_t log_end(struct restore *restore, const char *topic, int32_t id)
{
    int64_t first = 0, end = 0;
    int64_t until = clock_mono_ms() + RESTORE_MS;
    rd_kafka_resp_err_t err;
    do
        err = rd_kafka_query_watermark_offsets(restore->consumer, topic, id, &first, &end, STEP_MS);
    while (err != RD_KAFKA_RESP_ERR_NO_ERROR && restore_again(restore, until, rd_kafka_err2str(err)));
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? end : 0;
}

static void restore_set(struct restore *restore, const rd_kafka_topic_partition_t *item)
{
    struct partition *partition = grants_find(restore->grants, item->topic, item->partition);
    struct offset_runs runs;
    struct error why;
    int32_t epoch;
    if (partition == NULL || item->metadata_size == 0)
        return;
    if (offset_decode(item->metadata, item->metadata_size, item->offset, log_end(restore, item->topic, item->partition), &runs, &epoch, &why) !=
        STATUS_OK) {
        log_warn("completed_set_ignored", F_STR("topic", item->topic), F_INT("partition", item->partition), F_INT("offset", item->offset),
                 F_STR("code", why.code), F_STR("error", why.message));
        return;
    }
    log_info("completed_set_restored", F_STR("topic", item->topic), F_INT("partition", item->partition), F_INT("offset", item->offset),
             F_INT("done", offset_runs_total(&runs)));
    partition_restore(partition, &runs, epoch);
    offset_runs_finish(&runs);
}

/* Of each of them: one that is in an open transaction says UNSTABLE. */
static rd_kafka_resp_err_t committed_once(struct restore *restore, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t err = rd_kafka_committed(restore->consumer, list, STEP_MS);
    for (int i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++)
        err = list->elems[i].err;
    return err;
}

/* librdkafka gives up on what looks permanent: NOT_COORDINATOR too, while the coordinator moves. */
static rd_kafka_resp_err_t committed(struct restore *restore, rd_kafka_topic_partition_list_t *list)
{
    int64_t until = clock_mono_ms() + RESTORE_MS;
    rd_kafka_resp_err_t err;
    do
        err = committed_once(restore, list);
    while (err != RD_KAFKA_RESP_ERR_NO_ERROR && restore_again(restore, until, rd_kafka_err2str(err)));
    return err;
}

bool set_restore(const struct service *service, rd_kafka_t *consumer, const struct grants *grants, rd_kafka_topic_partition_list_t *granted,
                 const atomic_bool *stopping)
{
    struct restore restore = {.consumer = consumer,
                              .grants = grants,
                              .in_transactions = service->settings->worker.delivery == DELIVERY_EXACTLY_ONCE,
                              .stopping = stopping};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(granted);
    rd_kafka_resp_err_t err = committed(&restore, list);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_warn("completed_sets_unknown", F_STR("error", rd_kafka_err2str(err)), F_STR("hint", "the committed offsets can't be read; joining the group anew"));
    for (int i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &list->elems[i];
        rd_kafka_topic_partition_t *here = rd_kafka_topic_partition_list_find(granted, item->topic, item->partition);
        if (item->err != RD_KAFKA_RESP_ERR_NO_ERROR || item->offset < 0 || here == NULL)
            continue;
        here->offset = item->offset;
        restore_set(&restore, item);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}
