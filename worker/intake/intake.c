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
#include "intake/committer.h"
#include "intake/grants.h"
#include "intake/join_watch.h"
#include "intake/kafka_conf.h"
#include "intake/liveness.h"
#include "intake/pausing.h"
#include "intake/prefetch.h"
#include "intake/set_restore.h"
#include "ops/crash_notes.h"
#include "ops/metrics.h"
#include "ops/watchdog.h"

#define POLL_MS 100
#define LOOK_EVERY_MS 20
#define LOOK_EVERY_RECORDS 64
#define REVOKE_LOOK_MS 5
#define LEAVE_MS_MIN 1000 /* for the coordinator's word, should the last commit have taken all the time there was */

struct intake {
    const struct service *service;
    rd_kafka_t *consumer;
    struct prefetch *prefetch;
    struct committer *committer;
    struct liveness *liveness;
    pthread_t thread;
    atomic_bool held;
    atomic_bool stopping;
    _Atomic int64_t stop_by_ms; /* clock_mono_ms; INT64_MAX: nobody wants it to stop */
    atomic_bool joined;   /* once at least */
    atomic_bool in_group; /* and hasn't left since, for a reason of its own */
    atomic_bool joining; /* join_watch's and the committer's: commits rest meanwhile */
    struct mutex lock; /* guards failure */
    struct error failure;

    /* Intake thread only. */
    struct grants grants;
    bool must_rejoin; /* the last grant's offsets are unknown */
    bool left;        /* the group, in order; read once the thread has ended */
};

/* ---- rebalances ---- */

static void let_go(struct intake *intake, struct partition *partition)
{
    pausing_resume(intake->consumer, partition);
    partition_revoke(partition);
    completion_drop(intake->service->completion, dispatcher_remove_waiting(intake->service->dispatcher, partition));
    grants_forget(&intake->grants, partition);
}

/* What waits is given back, again and again, since what runs may want to wait too. True: nothing is left. */
static bool give_back_waiting(struct intake *intake, const rd_kafka_topic_partition_list_t *list)
{
    bool none_left = true;
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = grants_find(&intake->grants, list->elems[i].topic, list->elems[i].partition);
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
    if (until > atomic_load(&intake->stop_by_ms))
        until = atomic_load(&intake->stop_by_ms);
    while (!give_back_waiting(intake, list) && clock_mono_ms() < until) {
        watchdog_feed(WATCHED_INTAKE);
        nanosleep(&(struct timespec){.tv_nsec = REVOKE_LOOK_MS * 1000000L}, NULL);
    }
}

static void revoke(struct intake *intake, rd_kafka_topic_partition_list_t *list, bool lost)
{
    if (!lost) {
        let_running_end(intake, list);
        committer_now(intake->committer, list); /* first what is done and acknowledged, then no more */
    }
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = grants_find(&intake->grants, list->elems[i].topic, list->elems[i].partition);
        if (partition != NULL)
            let_go(intake, partition);
    }
    publisher_revoked(intake->service->publisher);
}

static void log_rebalance(const char *event, const rd_kafka_topic_partition_list_t *list, bool lost, const struct intake *intake)
{
    log_info(event, F_INT("partitions", list->cnt), F_INT("owned", intake->grants.count), F_INT("generation", intake->grants.generation),
             F_INT("lost", lost));
}

/* Where a new group begins. */
static bool begins_at_the_beginning(const rd_kafka_t *consumer)
{
    char reset[16] = "";
    size_t size = sizeof reset;
    return rd_kafka_conf_get(rd_kafka_conf((rd_kafka_t *)(uintptr_t)consumer), "auto.offset.reset", reset, &size) == RD_KAFKA_CONF_OK &&
           (strcmp(reset, "smallest") == 0 || strcmp(reset, "earliest") == 0 || strcmp(reset, "beginning") == 0);
}

/* With another auto.offset.reset what is read first may be elsewhere, and is known with the first record. */
static void note_positions(struct intake *intake, const rd_kafka_topic_partition_list_t *list)
{
    if (!begins_at_the_beginning(intake->consumer))
        return;
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = grants_find(&intake->grants, list->elems[i].topic, list->elems[i].partition);
        if (partition->next == RD_KAFKA_OFFSET_INVALID) /* else ours before */
            partition->next = list->elems[i].offset >= 0 ? list->elems[i].offset : RD_KAFKA_OFFSET_BEGINNING;
    }
}

static void rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct intake *intake = opaque;
    bool cooperative = strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE") == 0;
    rd_kafka_error_t *error = NULL;
    METRIC_INC(rebalances_total);
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        for (int i = 0; i < list->cnt; i++)
            grants_add(&intake->grants, list->elems[i].topic, list->elems[i].partition);
        if (set_restore(intake->service, intake->consumer, &intake->grants, list, &intake->stopping))
            note_positions(intake, list);
        else
            intake->must_rejoin = true;
        prefetch_follow(intake->prefetch, list);
        if (cooperative)
            error = rd_kafka_incremental_assign(rk, list);
        else
            rd_kafka_assign(rk, list);
        committer_rest(intake->committer, false);
        atomic_store(&intake->joined, true);
        atomic_store(&intake->in_group, true);
        log_rebalance("kafka_assigned", list, false, intake);
    } else {
        bool lost = rd_kafka_assignment_lost(rk);
        committer_rest(intake->committer, true);
        revoke(intake, list, lost);
        if (cooperative && !lost) /* a member that gives up partitions joins again */
            committer_expect_join(intake->committer);
        if (cooperative)
            error = rd_kafka_incremental_unassign(rk, list);
        else
            rd_kafka_assign(rk, NULL);
        if (cooperative && intake->grants.count > 0)
            committer_rest(intake->committer, false); /* no assign need follow for those that stay */
        log_rebalance("kafka_revoked", list, lost, intake);
    }
    prefetch_note_purged(intake->prefetch);
    METRIC_SET(partitions_assigned, (int64_t)intake->grants.count);
    if (error != NULL) {
        log_warn("rebalance_refused", F_STR("error", rd_kafka_error_string(error)));
        rd_kafka_error_destroy(error);
    }
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

static enum status decode(const struct service *service, struct task *task, const struct job_limits *limits)
{
    if (crash_notes_decoding(service->notes, &task->record) >= CRASHES_DECODING_MAX)
        return error_set(&task->error, ERROR_PERMANENT, "crashed_decoding", "the worker died %d times while it read this record", CRASHES_DECODING_MAX);
    crash_notes_doing(DOING_DECODING, &task->record);
    enum status status = job_decode(&task->record, limits, &task->job, &task->error);
    crash_notes_doing(DOING_NOTHING, NULL);
    task_weigh_input(task);
    return status;
}

static void take_record(struct intake *intake, const rd_kafka_message_t *message)
{
    struct partition *partition = grants_find(&intake->grants, rd_kafka_topic_name(message->rkt), message->partition);
    if (partition == NULL)
        return; /* fetched before a revoke */
    partition->next = message->offset + 1;
    partition->next_epoch = leader_epoch(message);
    switch (partition_receive(partition, message->offset, partition->next_epoch)) {
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
                                .models_allowed = (const char *const *)settings->llm.models_allowed,
                                .max_tokens_max = settings->llm.max_tokens_max};
    if (decode(intake->service, task, &limits) == STATUS_OK) {
        if (!dispatcher_add(intake->service->dispatcher, task))
            completion_cancel(intake->service->completion, task);
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
        error_set(&intake->failure, ERROR_PERMANENT, rd_kafka_err2name(err),
                  "fenced: another process of the group came with the same kafka.group.instance.id, \"%.60s\"; give each its own",
                  intake->service->settings->kafka.group_instance_id);
    else
        error_set(&intake->failure, ERROR_FATAL, rd_kafka_err2name(err), "%s", why);
    mutex_unlock(&intake->lock);
    atomic_store(&intake->in_group, false);
    log_error("intake_failed", F_STR("code", intake->failure.code), F_STR("error", intake->failure.message));
    while (intake->grants.count > 0)
        let_go(intake, intake->grants.partitions[0]);
    publisher_revoked(intake->service->publisher);
    METRIC_SET(partitions_assigned, 0);
}

static void take_error(struct intake *intake, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) /* the client has left the group, and joins anew */
        atomic_store(&intake->in_group, false);
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

/* librdkafka's own close has no bound, and now and then, told in the middle of a rebalance, no end. Without an answer the
 * group gives our partitions to others when the session has run out. */
static void leave(struct intake *intake)
{
    int64_t until = atomic_load(&intake->stop_by_ms);
    committer_bound(intake->committer, until);
    committer_now(intake->committer, NULL);
    atomic_store(&intake->in_group, false);
    if (until < clock_mono_ms() + LEAVE_MS_MIN)
        until = clock_mono_ms() + LEAVE_MS_MIN;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(intake->consumer);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(intake->consumer, queue);
    while (error == NULL && !rd_kafka_consumer_closed(intake->consumer) && clock_mono_ms() < until) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, POLL_MS);
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE) /* of what is left */
            rebalance(intake->consumer, rd_kafka_event_error(event), rd_kafka_event_topic_partition_list(event), intake);
        rd_kafka_event_destroy(event);
    }
    intake->left = rd_kafka_consumer_closed(intake->consumer);
    if (!intake->left)
        log_warn("group_not_left", F_STR("error", error != NULL ? rd_kafka_error_string(error) : "no answer"),
                 F_STR("hint", "others get its partitions when its session has run out"));
    if (error != NULL)
        rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(queue);
}

static void take(struct intake *intake, rd_kafka_message_t *message)
{
    if (message == NULL)
        return;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        take_record(intake, message);
    else
        take_error(intake, message);
    rd_kafka_message_destroy(message);
}

/* What the consumer's own queue brings: rebalances (in their callback) and errors. Whoever doesn't ask for them is put out of the
 * group, however much is read. */
static void serve_events(struct intake *intake, int timeout_ms)
{
    for (rd_kafka_message_t *message; (message = rd_kafka_consumer_poll(intake->consumer, timeout_ms)) != NULL; timeout_ms = 0)
        take(intake, message);
}

static void look(struct intake *intake, bool held_back)
{
    serve_events(intake, 0);
    if (intake->must_rejoin)
        rejoin(intake);
    pausing_look(intake->service, intake->consumer, intake->prefetch, &intake->grants, held_back);
    committer_look(intake->committer);
    liveness_look(intake->liveness, &intake->grants);
    watchdog_feed(WATCHED_INTAKE); /* here alone: what never comes to look doesn't go on */
}

static void *intake_main(void *arg)
{
    struct intake *intake = arg;
    pthread_setname_np(pthread_self(), "chat-intake");
    watchdog_feed(WATCHED_INTAKE);
    int64_t next_look_ms = 0;
    for (unsigned records = 0; !atomic_load(&intake->stopping);) {
        int hold_ms = pausing_hold_ms(intake->service, atomic_load(&intake->held));
        if (hold_ms > 0)
            serve_events(intake, hold_ms);
        else
            take(intake, prefetch_take(intake->prefetch, &intake->grants, LOOK_EVERY_MS));
        /* Records come in bursts: this is looked at now and then, not after each. */
        int64_t now = clock_mono_ms();
        if (++records % LOOK_EVERY_RECORDS == 0 || now >= next_look_ms) {
            look(intake, hold_ms > 0);
            next_look_ms = now + LOOK_EVERY_MS;
        }
    }
    watchdog_rest(WATCHED_INTAKE);
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
    intake->stop_by_ms = INT64_MAX;
    mutex_init(&intake->lock);
    rd_kafka_conf_set_opaque(conf, intake);
    rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    join_watch_install(conf, &intake->joining);
    intake->prefetch = prefetch_create(conf);
    intake->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (intake->consumer == NULL) {
        rd_kafka_conf_destroy(conf);
        prefetch_destroy(intake->prefetch);
        free(intake);
        return error_set(err, ERROR_PERMANENT, "kafka_conf", "kafka consumer: %s", why);
    }
    rd_kafka_poll_set_consumer(intake->consumer);
    prefetch_begin(intake->prefetch, intake->consumer);
    intake->committer = committer_create(service, intake->consumer, &intake->grants, &intake->joining);
    intake->liveness = liveness_create(service, intake->consumer);
    publisher_follow(service->publisher, intake->consumer);
    rd_kafka_resp_err_t rc = subscribe(intake);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR || pthread_create(&intake->thread, NULL, intake_main, intake) != 0) {
        publisher_follow(service->publisher, NULL);
        liveness_destroy(intake->liveness);
        committer_destroy(intake->committer);
        prefetch_end(intake->prefetch);
        rd_kafka_destroy(intake->consumer);
        prefetch_destroy(intake->prefetch);
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

bool intake_in_group(const struct intake *intake)
{
    return atomic_load(&intake->in_group);
}

int64_t intake_broker_answers_ms(struct intake *intake)
{
    return liveness_broker_answers_ms(intake->liveness);
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
 * #4381), and any waits for one that doesn't close. The rest is left to the process's end, which comes next. */
static bool must_not_be_destroyed(const struct intake *intake)
{
    return !intake->left || (!atomic_load(&intake->joined) && rd_kafka_version() < 0x020300ff);
}

void intake_stop(struct intake *intake, int64_t until_ms)
{
    atomic_store(&intake->stop_by_ms, until_ms);
    atomic_store(&intake->stopping, true);
    pthread_join(intake->thread, NULL);
    publisher_follow(intake->service->publisher, NULL);
}

bool intake_destroy(struct intake *intake)
{
    if (intake == NULL)
        return true;
    if (must_not_be_destroyed(intake))
        return false;
    grants_finish(&intake->grants);
    liveness_destroy(intake->liveness);
    committer_destroy(intake->committer);
    prefetch_end(intake->prefetch);
    rd_kafka_destroy(intake->consumer);
    prefetch_destroy(intake->prefetch);
    mutex_destroy(&intake->lock);
    free(intake);
    return true;
}
