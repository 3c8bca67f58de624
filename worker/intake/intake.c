#include "intake/intake.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "completion/completion.h"
#include "completion/outcome.h"
#include "completion/publisher.h"
#include "dispatch/dispatcher.h"
#include "dispatch/weather.h"
#include "intake/join_watch.h"
#include "intake/kafka_conf.h"
#include "intake/liveness.h"
#include "intake/offset_codec.h"
#include "intake/partition.h"
#include "ops/metrics.h"

#define POLL_MS 100
#define PAUSE_CHECK_EVERY 64 /* records */
#define LOOK_EVERY_MS 20
#define REVOKE_COMMIT_MS 5000
#define REVOKE_LOOK_MS 5
#define JOIN_MS 30000
#define RESTORE_MS 5000
#define RESTORE_STEP_MS 1000

struct intake {
    const struct service *service;
    rd_kafka_t *consumer;
    rd_kafka_queue_t *commit_queue;
    struct liveness *liveness;
    pthread_t thread;
    atomic_bool held;
    atomic_bool stopping;
    atomic_bool joined;
    atomic_bool joining; /* join_watch's, and set on a revoke: commits rest meanwhile */
    struct mutex lock; /* guards failure */
    struct error failure;

    /* Intake thread only. */
    struct partition **partitions;
    size_t partition_count;
    uint64_t generation;
    bool commit_under_way;
    bool commits_rest; /* from a revoke to the next assign */
    bool must_rejoin;  /* the last grant's offsets are unknown */
    int64_t next_commit_ms;
    int64_t join_until_ms; /* longer than this, joining isn't believed */
    int64_t next_wait_log_ms;
};

static bool in_transactions(const struct intake *intake)
{
    return intake->service->settings->worker.delivery == DELIVERY_EXACTLY_ONCE;
}

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
        if (partition->full_told)
            METRIC_ADD(partitions_set_full, -1);
        intake->partitions[i] = intake->partitions[--intake->partition_count];
        partition_unref(partition);
        return;
    }
}

/* ---- commits ---- */

/* Names the culprit, too: the job that all the others are ahead of. */
static void note_full(struct intake *intake, struct partition *partition)
{
    bool full = atomic_load(&partition->set_is_full);
    if (full == partition->full_told)
        return;
    partition->full_told = full;
    METRIC_ADD(partitions_set_full, full ? 1 : -1);
    if (!full) {
        log_info("completed_set_fits", F_STR("topic", partition->topic), F_INT("partition", partition->id));
        return;
    }
    char job[128];
    int64_t head = partition_head(partition);
    enum task_place place = dispatcher_find(intake->service->dispatcher, partition, head, job, sizeof job);
    log_warn("completed_set_full", F_STR("topic", partition->topic), F_INT("partition", partition->id), F_INT("head_offset", head),
             F_STR("head_job", job), F_STR("head", liveness_place_name(place)),
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
        int64_t offset = partition_committable(partition, &metadata);
        note_full(intake, partition);
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

/* With exactly-once the publisher commits: it is told of what has something new to say. */
static void offer(struct intake *intake, const rd_kafka_topic_partition_list_t *only)
{
    for (size_t i = 0; i < intake->partition_count; i++) {
        struct partition *partition = intake->partitions[i];
        if (only != NULL && rd_kafka_topic_partition_list_find(only, partition->topic, partition->id) == NULL)
            continue;
        note_full(intake, partition);
        if (partition_has_news(partition))
            publisher_offer(intake->service->publisher, partition);
    }
}

static void commit_on_timer(struct intake *intake)
{
    serve_commit_answers(intake, 0);
    int64_t now = clock_mono_ms();
    bool joining = atomic_load(&intake->joining);
    if (!joining)
        intake->join_until_ms = INT64_MAX;
    if (intake->commit_under_way || intake->commits_rest || (joining && now < intake->join_until_ms) || now < intake->next_commit_ms)
        return;
    intake->next_commit_ms = now + intake->service->settings->worker.commit_interval_ms;
    if (in_transactions(intake)) {
        offer(intake, NULL);
        return;
    }
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
    if (in_transactions(intake)) {
        offer(intake, only);
        if (!publisher_commit_now(intake->service->publisher, until))
            log_warn("transaction_left_open", F_STR("hint", "what it holds of the partitions that go is aborted, and answered from the store by their new owner"));
        return;
    }
    while (intake->commit_under_way && clock_mono_ms() < until)
        serve_commit_answers(intake, POLL_MS);
    rd_kafka_topic_partition_list_t *list = committable(intake, only);
    if (list->cnt > 0)
        note_commit(intake, rd_kafka_commit(intake->consumer, list, 0), list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- the completed sets of a grant ---- */

/* Exactly-once can't go on without what was committed, so its grant waits; above all for a transaction that another
 * worker left open, which ends by its time-out. At-least-once tries for a while. */
static bool restore_again(struct intake *intake, int64_t until, const char *why)
{
    int64_t now = clock_mono_ms();
    if (now >= intake->next_wait_log_ms) {
        log_info("completed_sets_wait", F_STR("reason", why));
        intake->next_wait_log_ms = now + RESTORE_MS;
    }
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    return (in_transactions(intake) || now + POLL_MS < until) && !atomic_load(&intake->stopping) && !rd_kafka_assignment_lost(intake->consumer);
}

/* Where the log ends now; 0 when the broker doesn't say: then a set counts for nothing. */
static int64_t log_end(struct intake *intake, const char *topic, int32_t id)
{
    int64_t first = 0, end = 0;
    int64_t until = clock_mono_ms() + RESTORE_MS;
    rd_kafka_resp_err_t err;
    do
        err = rd_kafka_query_watermark_offsets(intake->consumer, topic, id, &first, &end, RESTORE_STEP_MS);
    while (err != RD_KAFKA_RESP_ERR_NO_ERROR && restore_again(intake, until, rd_kafka_err2str(err)));
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? end : 0;
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

/* Of each of them: one that is in an open transaction says UNSTABLE. */
static rd_kafka_resp_err_t committed_once(struct intake *intake, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t err = rd_kafka_committed(intake->consumer, list, RESTORE_STEP_MS);
    for (int i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++)
        err = list->elems[i].err;
    return err;
}

/* librdkafka gives up on what looks permanent: NOT_COORDINATOR too, while the coordinator moves. */
static rd_kafka_resp_err_t committed(struct intake *intake, rd_kafka_topic_partition_list_t *list)
{
    int64_t until = clock_mono_ms() + RESTORE_MS;
    rd_kafka_resp_err_t err;
    do
        err = committed_once(intake, list);
    while (err != RD_KAFKA_RESP_ERR_NO_ERROR && restore_again(intake, until, rd_kafka_err2str(err)));
    return err;
}

/* Reads what was committed with the partitions of a fresh grant, and lets them begin there, so that set and offset are
 * of one commit. Without an answer librdkafka would ask once more, and then never fetch from them, however healthy the
 * member looks: the group is joined anew. */
static void restore_sets(struct intake *intake, rd_kafka_topic_partition_list_t *granted)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(granted);
    rd_kafka_resp_err_t err = committed(intake, list);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        log_warn("completed_sets_unknown", F_STR("error", rd_kafka_err2str(err)), F_STR("hint", "the committed offsets can't be read; joining the group anew"));
        intake->must_rejoin = true;
    }
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

/* ---- pauses ---- */

static void set_paused(struct intake *intake, struct partition *partition, bool paused)
{
    if (paused == partition->paused)
        return;
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(one, partition->topic, partition->id);
    /* Only what we paused is resumed: resuming another may rewind it (librdkafka before 2.4.0). */
    rd_kafka_resp_err_t rc = paused ? rd_kafka_pause_partitions(intake->consumer, one) : rd_kafka_resume_partitions(intake->consumer, one);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        partition->paused = paused;
    rd_kafka_topic_partition_list_destroy(one);
}

/* ---- rebalances ---- */

static void let_go(struct intake *intake, struct partition *partition)
{
    /* librdkafka's pause outlives the grant: were the partition granted again, nothing would be read from it. */
    set_paused(intake, partition, false);
    partition_revoke(partition);
    completion_drop(intake->service->completion, dispatcher_remove_waiting(intake->service->dispatcher, partition));
    forget(intake, partition);
}

/* What waits is given back, again and again, since what runs may want to wait too. True: nothing is left. */
static bool give_back_waiting(struct intake *intake, const rd_kafka_topic_partition_list_t *list)
{
    bool none_left = true;
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = find(intake, list->elems[i].topic, list->elems[i].partition);
        if (partition == NULL)
            continue;
        completion_drop(intake->service->completion, dispatcher_remove_waiting(intake->service->dispatcher, partition));
        none_left = none_left && atomic_load(&partition->references) == 1; /* ours: each job has one */
    }
    return none_left;
}

/* What can end within the bound does, so that its reply is ours to publish. The others end in Redis alone, and the new
 * owner answers from there. */
static void let_running_end(struct intake *intake, const rd_kafka_topic_partition_list_t *list)
{
    int64_t until = clock_mono_ms() + intake->service->settings->worker.revoke_drain_ms;
    while (!give_back_waiting(intake, list) && clock_mono_ms() < until)
        nanosleep(&(struct timespec){.tv_nsec = REVOKE_LOOK_MS * 1000000L}, NULL);
}

static void revoke(struct intake *intake, rd_kafka_topic_partition_list_t *list, bool lost)
{
    if (!lost) {
        let_running_end(intake, list);
        commit_now(intake, list); /* first what is done and acknowledged, then no more */
    }
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = find(intake, list->elems[i].topic, list->elems[i].partition);
        if (partition != NULL)
            let_go(intake, partition);
    }
    publisher_revoked(intake->service->publisher);
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
        /* A member that gives up partitions joins again. From here on, not from when its JoinGroup is seen: a commit in
         * between would stand behind that. Were none to come, commits would rest for a while. */
        if (cooperative && !lost) {
            atomic_store(&intake->joining, true);
            intake->join_until_ms = clock_mono_ms() + JOIN_MS;
        }
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

/* While one job more is wanted, and nobody knows which partition has one: each for a second. */
static const struct partition *whose_turn(const struct intake *intake)
{
    return intake->partitions[(size_t)(clock_mono_ms() / 1000) % intake->partition_count];
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
    enum weather_intake weather = weather_intake(intake->service->weather, metric_get(METRIC_jobs_alive));
    if (atomic_load(&intake->held) || weather == INTAKE_CLOSED || (weather == INTAKE_ONE && partition != whose_turn(intake)))
        return true;
    if (metric_get(METRIC_jobs_alive) == 0) /* a job larger than the whole buffer is let in alone */
        return false;
    return partition->set_is_full || is_full(intake, partition->paused) || atomic_load(&partition->behind) > behind_max;
}

/* A pause can't wait for the next look: what is in memory is all there may be. */
static bool pauses_at_once(const struct intake *intake)
{
    return is_full(intake, false) || weather_intake(intake->service->weather, metric_get(METRIC_jobs_alive)) != INTAKE_FREE;
}

static void pause_and_resume(struct intake *intake)
{
    int64_t paused = 0;
    for (size_t i = 0; i < intake->partition_count; i++) {
        struct partition *partition = intake->partitions[i];
        set_paused(intake, partition, wants_pause(intake, partition));
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
    weather_let_in(intake->service->weather);
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
    publisher_revoked(intake->service->publisher);
    METRIC_SET(partitions_assigned, 0);
}

static void take_error(struct intake *intake, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__FATAL)
        fail(intake);
    else
        log_warn("kafka_poll_error", F_STR("code", rd_kafka_err2name(message->err)), F_STR("error", rd_kafka_message_errstr(message)));
}

static rd_kafka_resp_err_t subscribe(struct intake *intake)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, intake->service->settings->worker.jobs_topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t rc = rd_kafka_subscribe(intake->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return rc;
}

static void rejoin(struct intake *intake)
{
    intake->must_rejoin = false;
    rd_kafka_resp_err_t rc = rd_kafka_unsubscribe(intake->consumer);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        rc = subscribe(intake);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR) {
        log_warn("rejoin_refused", F_STR("error", rd_kafka_err2str(rc)));
        intake->must_rejoin = true;
    }
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
        if (++records % PAUSE_CHECK_EVERY == 0 || now >= next_look_ms || (taken && pauses_at_once(intake))) {
            if (intake->must_rejoin)
                rejoin(intake);
            pause_and_resume(intake);
            commit_on_timer(intake);
            liveness_look(intake->liveness, intake->partitions, intake->partition_count, atomic_load(&intake->held));
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
    intake->liveness = liveness_create(service, intake->consumer);
    publisher_follow(service->publisher, intake->consumer);
    rd_kafka_resp_err_t rc = subscribe(intake);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR || pthread_create(&intake->thread, NULL, intake_main, intake) != 0) {
        publisher_follow(service->publisher, NULL);
        liveness_destroy(intake->liveness);
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

bool intake_stuck(struct intake *intake, char *why, size_t size)
{
    return liveness_failed(intake->liveness, why, size);
}

bool intake_failed(struct intake *intake, struct error *ret)
{
    mutex_lock(&intake->lock);
    *ret = intake->failure;
    mutex_unlock(&intake->lock);
    return ret->class != ERROR_NONE;
}

/* librdkafka before 2.3.0 aborts when a consumer is destroyed that joined the group but was never given anything (its
 * #4381). Closed it is already; the rest is left to the process's end, which comes next. */
static bool must_not_be_destroyed(const struct intake *intake)
{
    return !atomic_load(&intake->joined) && rd_kafka_version() < 0x020300ff;
}

void intake_stop(struct intake *intake)
{
    atomic_store(&intake->stopping, true);
    pthread_join(intake->thread, NULL);
    publisher_follow(intake->service->publisher, NULL);
}

void intake_destroy(struct intake *intake)
{
    if (intake == NULL)
        return;
    if (must_not_be_destroyed(intake))
        return;
    for (size_t i = 0; i < intake->partition_count; i++)
        partition_unref(intake->partitions[i]);
    free(intake->partitions);
    liveness_destroy(intake->liveness);
    rd_kafka_queue_destroy(intake->commit_queue);
    rd_kafka_destroy(intake->consumer);
    mutex_destroy(&intake->lock);
    free(intake);
}
