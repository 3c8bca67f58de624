#include "intake/intake.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "completion/completion.h"
#include "completion/outcome.h"
#include "dispatch/dispatcher.h"
#include "intake/join_watch.h"
#include "intake/kafka_conf.h"
#include "intake/offset_codec.h"
#include "intake/partition.h"
#include "ops/metrics.h"

#define POLL_MS 100
#define PAUSE_CHECK_EVERY 64 /* records */
#define LOOK_EVERY_MS 20
#define REVOKE_COMMIT_MS 5000
#define RESTORE_MS 5000

struct intake {
    const struct service *service;
    rd_kafka_t *consumer;
    rd_kafka_queue_t *commit_queue;
    pthread_t thread;
    atomic_bool held;
    atomic_bool stopping;
    atomic_bool joined;
    atomic_bool joining; /* join_watch's: commits rest meanwhile */
    struct mutex lock; /* guards failure */
    struct error failure;

    /* Intake thread only. */
    struct partition **partitions;
    size_t partition_count;
    uint64_t generation;
    bool commit_under_way;
    bool commits_rest; /* from a revoke to the next assign */
    int64_t next_commit_ms;
};

/* ---- partitions ---- */

static struct partition *find(const struct intake *intake, const char *topic, int32_t id)
{
    for (size_t i = 0; i < intake->partition_count; i++)
        if (intake->partitions[i]->id == id && strcmp(intake->partitions[i]->topic, topic) == 0)
            return intake->partitions[i];
    return NULL;
}

static void assigned(struct intake *intake, const rd_kafka_topic_partition_t *granted)
{
    if (find(intake, granted->topic, granted->partition) != NULL)
        return;
    intake->partitions = xrealloc(intake->partitions, (intake->partition_count + 1) * sizeof *intake->partitions);
    intake->partitions[intake->partition_count++] =
        partition_create(granted->topic, granted->partition, ++intake->generation);
}

static void forget(struct intake *intake, struct partition *partition)
{
    for (size_t i = 0; i < intake->partition_count; i++) {
        if (intake->partitions[i] != partition)
            continue;
        if (partition->set_is_full)
            METRIC_ADD(partitions_set_full, -1);
        intake->partitions[i] = intake->partitions[--intake->partition_count];
        partition_unref(partition);
        return;
    }
}

/* ---- commits ---- */

static void note_full(const struct partition *partition, bool before)
{
    if (partition->set_is_full == before)
        return;
    METRIC_ADD(partitions_set_full, before ? -1 : 1);
    if (before)
        log_info("completed_set_fits", F_STR("topic", partition->topic), F_INT("partition", partition->id));
    else
        log_warn("completed_set_full", F_STR("topic", partition->topic), F_INT("partition", partition->id),
                 F_STR("hint", "too many jobs end out of order for a commit's metadata; nothing more is read here until the first of them end"));
}

static rd_kafka_topic_partition_list_t *committable(struct intake *intake, const rd_kafka_topic_partition_list_t *only)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)intake->partition_count + 1);
    for (size_t i = 0; i < intake->partition_count; i++) {
        struct partition *partition = intake->partitions[i];
        if (only != NULL && rd_kafka_topic_partition_list_find(only, partition->topic, partition->id) == NULL)
            continue;
        char *metadata = NULL;
        bool was_full = partition->set_is_full;
        int64_t offset = partition_committable(partition, &metadata);
        note_full(partition, was_full);
        if (offset < 0)
            continue;
        rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(list, partition->topic, partition->id);
        item->offset = offset;
        item->metadata = metadata; /* the list's to free */
        item->metadata_size = strlen(metadata);
    }
    return list;
}

static void note_commit(struct intake *intake, rd_kafka_resp_err_t err, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &list->elems[i];
        struct partition *partition = find(intake, item->topic, item->partition);
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR && item->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            METRIC_INC(commits_total);
            if (partition != NULL)
                partition_committed(partition, item->offset);
            log_debug("offsets_committed", F_STR("topic", item->topic), F_INT("partition", item->partition), F_INT("offset", item->offset),
                      F_INT("set_bytes", item->metadata_size));
        } else {
            METRIC_INC(commit_failures_total);
            log_warn("commit_refused", F_STR("topic", item->topic), F_INT("partition", item->partition), F_INT("offset", item->offset),
                     F_STR("error", rd_kafka_err2str(err ? err : item->err)));
            if (partition != NULL && (err ? err : item->err) == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE)
                partition_metadata_refused(partition);
        }
    }
}

static void serve_commit_answers(struct intake *intake, int timeout_ms)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(intake->commit_queue, timeout_ms);
    if (event == NULL)
        return;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT) {
        intake->commit_under_way = false;
        note_commit(intake, rd_kafka_event_error(event), rd_kafka_event_topic_partition_list(event));
    }
    rd_kafka_event_destroy(event);
}

static void commit_on_timer(struct intake *intake)
{
    serve_commit_answers(intake, 0);
    int64_t now = clock_mono_ms();
    if (intake->commit_under_way || intake->commits_rest || atomic_load(&intake->joining) || now < intake->next_commit_ms)
        return;
    intake->next_commit_ms = now + intake->service->settings->worker.commit_interval_ms;
    rd_kafka_topic_partition_list_t *list = committable(intake, NULL);
    if (list->cnt > 0)
        intake->commit_under_way =
            rd_kafka_commit_queue(intake->consumer, list, intake->commit_queue, NULL, NULL) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(list);
}

/* Before partitions go: waits for the commit under way, then says the last word for them. */
static void commit_now(struct intake *intake, const rd_kafka_topic_partition_list_t *only)
{
    int64_t until = clock_mono_ms() + REVOKE_COMMIT_MS;
    while (intake->commit_under_way && clock_mono_ms() < until)
        serve_commit_answers(intake, POLL_MS);
    rd_kafka_topic_partition_list_t *list = committable(intake, only);
    if (list->cnt > 0)
        note_commit(intake, rd_kafka_commit(intake->consumer, list, 0), list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- the completed sets of a grant ---- */

/* Where the log ends now; 0 when the broker doesn't say: then a set counts for nothing. */
static int64_t log_end(struct intake *intake, const char *topic, int32_t id)
{
    int64_t first = 0, end = 0;
    return rd_kafka_query_watermark_offsets(intake->consumer, topic, id, &first, &end, RESTORE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR ? end : 0;
}

static void restore_set(struct intake *intake, const rd_kafka_topic_partition_t *item)
{
    struct partition *partition = find(intake, item->topic, item->partition);
    struct offset_runs runs;
    struct error why;
    int32_t epoch;
    if (partition == NULL || item->metadata_size == 0)
        return;
    if (offset_decode(item->metadata, item->metadata_size, item->offset, log_end(intake, item->topic, item->partition), &runs, &epoch, &why) !=
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

/* Reads what was committed with the partitions of a fresh grant, and lets them begin there, so that set and offset are
 * of one commit. Without an answer they begin where librdkafka finds them, and nothing is known above. */
static void restore_sets(struct intake *intake, rd_kafka_topic_partition_list_t *granted)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(granted);
    rd_kafka_resp_err_t err = rd_kafka_committed(intake->consumer, list, RESTORE_MS);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_warn("completed_sets_unknown", F_STR("error", rd_kafka_err2str(err)));
    for (int i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &list->elems[i];
        rd_kafka_topic_partition_t *here = rd_kafka_topic_partition_list_find(granted, item->topic, item->partition);
        if (item->err != RD_KAFKA_RESP_ERR_NO_ERROR || item->offset < 0 || here == NULL)
            continue;
        here->offset = item->offset;
        restore_set(intake, item);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- rebalances ---- */

static void let_go(struct intake *intake, struct partition *partition)
{
    partition_revoke(partition);
    completion_drop(intake->service->completion, dispatcher_remove_waiting(intake->service->dispatcher, partition));
    forget(intake, partition);
}

static void revoke(struct intake *intake, rd_kafka_topic_partition_list_t *list, bool lost)
{
    if (!lost)
        commit_now(intake, list); /* first what is done and acknowledged, then no more */
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = find(intake, list->elems[i].topic, list->elems[i].partition);
        if (partition != NULL)
            let_go(intake, partition);
    }
}

static void log_rebalance(const char *event, const rd_kafka_topic_partition_list_t *list, bool lost, const struct intake *intake)
{
    log_info(event, F_INT("partitions", list->cnt), F_INT("owned", intake->partition_count), F_INT("generation", intake->generation),
             F_INT("lost", lost));
}

static void rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct intake *intake = opaque;
    bool cooperative = strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE") == 0;
    rd_kafka_error_t *error = NULL;
    METRIC_INC(rebalances_total);
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        for (int i = 0; i < list->cnt; i++)
            assigned(intake, &list->elems[i]);
        restore_sets(intake, list);
        if (cooperative)
            error = rd_kafka_incremental_assign(rk, list);
        else
            rd_kafka_assign(rk, list);
        intake->commits_rest = false;
        atomic_store(&intake->joined, true);
        log_rebalance("kafka_assigned", list, false, intake);
    } else {
        bool lost = rd_kafka_assignment_lost(rk);
        intake->commits_rest = true;
        revoke(intake, list, lost);
        if (cooperative)
            error = rd_kafka_incremental_unassign(rk, list);
        else
            rd_kafka_assign(rk, NULL);
        if (cooperative && intake->partition_count > 0)
            intake->commits_rest = false; /* no assign need follow for those that stay */
        log_rebalance("kafka_revoked", list, lost, intake);
    }
    METRIC_SET(partitions_assigned, (int64_t)intake->partition_count);
    if (error != NULL) {
        log_warn("rebalance_refused", F_STR("error", rd_kafka_error_string(error)));
        rd_kafka_error_destroy(error);
    }
}

/* ---- pausing ---- */

/* The level at which partitions are paused, or three quarters of it, below which they are resumed. */
static bool is_full(const struct intake *intake, bool resuming)
{
    const struct settings *settings = intake->service->settings;
    int64_t jobs_max = settings->worker.buffered_jobs_max;
    int64_t bytes_max = settings->worker.buffered_bytes_max;
    if (resuming) {
        jobs_max -= jobs_max / 4;
        bytes_max -= bytes_max / 4;
    }
    return metric_get(METRIC_jobs_alive) >= settings->worker.threads + jobs_max || metric_get(METRIC_jobs_alive_bytes) >= bytes_max;
}

/* What counts is what is alive, from the record's arrival to its acknowledgement: it can't leak. The resume level
 * is near the pause level, so that the threads don't run dry while a fetch starts again, but not at it, since a
 * pause throws the prefetch away. Jobs that wait behind another of their session have a share of the buffer for
 * each partition: a hot key pauses its own partition alone, however many jobs stand in line. */
static bool wants_pause(const struct intake *intake, const struct partition *partition)
{
    int64_t behind_max = intake->service->settings->worker.buffered_jobs_max / 2 / (int64_t)intake->partition_count + 1;
    if (partition->paused)
        behind_max -= behind_max / 2;
    if (atomic_load(&intake->held))
        return true;
    if (metric_get(METRIC_jobs_alive) == 0) /* a job larger than the whole buffer is let in alone */
        return false;
    return partition->set_is_full || is_full(intake, partition->paused) || atomic_load(&partition->behind) > behind_max;
}

static void pause_and_resume(struct intake *intake)
{
    int64_t paused = 0;
    for (size_t i = 0; i < intake->partition_count; i++) {
        struct partition *partition = intake->partitions[i];
        bool want = wants_pause(intake, partition);
        if (want != partition->paused) {
            rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
            rd_kafka_topic_partition_list_add(one, partition->topic, partition->id);
            /* Only what we paused is resumed: resuming another may rewind it (librdkafka before 2.4.0). */
            rd_kafka_resp_err_t rc = want ? rd_kafka_pause_partitions(intake->consumer, one)
                                          : rd_kafka_resume_partitions(intake->consumer, one);
            if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
                partition->paused = want;
            rd_kafka_topic_partition_list_destroy(one);
        }
        paused += partition->paused;
    }
    METRIC_SET(partitions_paused, paused);
}

/* ---- records ---- */

static struct record copy_record(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *headers = NULL;
    struct record record = {.topic = xstrdup(rd_kafka_topic_name(message->rkt)),
                            .partition = message->partition,
                            .offset = message->offset,
                            .timestamp_ms = rd_kafka_message_timestamp(message, &type),
                            .key = message->key ? xmemdup0(message->key, message->key_len) : NULL,
                            .key_size = message->key_len,
                            .value = message->payload ? xmemdup0(message->payload, message->len) : NULL,
                            .value_size = message->len};
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const char *name;
        const void *value;
        size_t size;
        for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
            headers_add(&record.headers, name, value, size);
    }
    return record;
}

static int32_t leader_epoch(const rd_kafka_message_t *message)
{
#ifdef CHAT_LEADER_EPOCHS
    return rd_kafka_message_leader_epoch(message);
#else
    (void)message;
    return -1;
#endif
}

static void take_record(struct intake *intake, const rd_kafka_message_t *message)
{
    struct partition *partition = find(intake, rd_kafka_topic_name(message->rkt), message->partition);
    if (partition == NULL)
        return; /* fetched before a revoke */
    switch (partition_receive(partition, message->offset, leader_epoch(message))) {
    case OFFSET_SEEN: METRIC_INC(jobs_duplicate_offset_total); return;
    case OFFSET_DONE_BEFORE: METRIC_INC(jobs_done_before_total); return;
    case OFFSET_NEW: METRIC_INC(jobs_received_total); break;
    }
    struct record record = copy_record(message);
    struct task *task = task_create(&record, partition);
    const struct settings *settings = intake->service->settings;
    struct job_limits limits = {.bytes_max = (size_t)settings->worker.job_bytes_max,
                                .depth_max = JOB_DEPTH_MAX,
                                .models_allowed = (const char *const *)settings->llm.models_allowed};
    if (job_decode(&task->record, &limits, &task->job, &task->error) == STATUS_OK) {
        dispatcher_add(intake->service->dispatcher, task);
        return;
    }
    METRIC_INC(jobs_undecodable_total);
    task->settled = true; /* nothing was claimed: there is no id to trust */
    outcome_dead(task);
    completion_put(intake->service->completion, &task);
}

/* A client that has failed takes no more commits and gives no revoke: what it had is another's from now on. */
static void fail(struct intake *intake)
{
    char why[256] = "";
    rd_kafka_resp_err_t err = rd_kafka_fatal_error(intake->consumer, why, sizeof why);
    mutex_lock(&intake->lock);
    if (err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
        error_set(&intake->failure, ERROR_FATAL, rd_kafka_err2name(err),
                  "fenced: another process of the group came with the same kafka.group.instance.id, \"%.60s\"; give each its own",
                  intake->service->settings->kafka.group_instance_id);
    else
        error_set(&intake->failure, ERROR_FATAL, rd_kafka_err2name(err), "%s", why);
    mutex_unlock(&intake->lock);
    log_error("intake_failed", F_STR("code", intake->failure.code), F_STR("error", intake->failure.message));
    while (intake->partition_count > 0)
        let_go(intake, intake->partitions[0]);
    METRIC_SET(partitions_assigned, 0);
}

static void take_error(struct intake *intake, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__FATAL)
        fail(intake);
    else
        log_warn("kafka_poll_error", F_STR("code", rd_kafka_err2name(message->err)), F_STR("error", rd_kafka_message_errstr(message)));
}

static void leave(struct intake *intake)
{
    commit_now(intake, NULL);
    rd_kafka_consumer_close(intake->consumer); /* runs the rebalance callback for what is left */
}

static void *intake_main(void *arg)
{
    struct intake *intake = arg;
    pthread_setname_np(pthread_self(), "chat-intake");
    int64_t next_look_ms = 0;
    for (unsigned records = 0; !atomic_load(&intake->stopping);) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(intake->consumer, POLL_MS);
        bool taken = message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (taken)
            take_record(intake, message);
        else if (message != NULL)
            take_error(intake, message);
        if (message != NULL)
            rd_kafka_message_destroy(message);
        /* Records come in bursts: this is looked at now and then, not after each, unless it can't wait. */
        int64_t now = clock_mono_ms();
        if (++records % PAUSE_CHECK_EVERY == 0 || now >= next_look_ms || (taken && is_full(intake, false))) {
            pause_and_resume(intake);
            commit_on_timer(intake);
            next_look_ms = now + LOOK_EVERY_MS;
        }
    }
    leave(intake);
    return NULL;
}

enum status intake_start(const struct service *service, const char *bootstrap, struct intake **ret, struct error *err)
{
    rd_kafka_conf_t *conf = NULL;
    char why[256];
    if (kafka_conf_make(service->settings, bootstrap, RD_KAFKA_CONSUMER, &conf, err) != STATUS_OK)
        return STATUS_FAILED;
    struct intake *intake = xcalloc(1, sizeof *intake);
    intake->service = service;
    mutex_init(&intake->lock);
    rd_kafka_conf_set_opaque(conf, intake);
    rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    join_watch_install(conf, &intake->joining);
    intake->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (intake->consumer == NULL) {
        rd_kafka_conf_destroy(conf);
        free(intake);
        return error_set(err, ERROR_FATAL, "kafka_conf", "kafka consumer: %s", why);
    }
    rd_kafka_poll_set_consumer(intake->consumer);
    intake->commit_queue = rd_kafka_queue_new(intake->consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, service->settings->worker.jobs_topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t rc = rd_kafka_subscribe(intake->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR || pthread_create(&intake->thread, NULL, intake_main, intake) != 0) {
        rd_kafka_queue_destroy(intake->commit_queue);
        rd_kafka_destroy(intake->consumer);
        free(intake);
        return error_set(err, ERROR_FATAL, "intake_start", "intake: %s", rc ? rd_kafka_err2str(rc) : "its thread can't be started");
    }
    *ret = intake;
    return STATUS_OK;
}

void intake_hold(struct intake *intake, bool held)
{
    atomic_store(&intake->held, held);
}

bool intake_joined(const struct intake *intake)
{
    return atomic_load(&intake->joined);
}

bool intake_failed(struct intake *intake, struct error *ret)
{
    mutex_lock(&intake->lock);
    *ret = intake->failure;
    mutex_unlock(&intake->lock);
    return ret->class != ERROR_NONE;
}

void intake_stop(struct intake *intake)
{
    atomic_store(&intake->stopping, true);
    pthread_join(intake->thread, NULL);
    for (size_t i = 0; i < intake->partition_count; i++)
        partition_unref(intake->partitions[i]);
    free(intake->partitions);
    rd_kafka_queue_destroy(intake->commit_queue);
    rd_kafka_destroy(intake->consumer);
    mutex_destroy(&intake->lock);
    free(intake);
}
