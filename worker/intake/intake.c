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
#include "breakers/breakers.h"
#include "chat/request_parts.h"
#include "completion/completion.h"
#include "completion/delta_publisher.h"
#include "completion/publisher.h"
#include "dispatch/dispatcher.h"
#include "intake/assignments.h"
#include "intake/committer.h"
#include "intake/gathering.h"
#include "intake/job_reading.h"
#include "intake/join_watch.h"
#include "intake/liveness.h"
#include "intake/pausing.h"
#include "intake/prefetch.h"
#include "intake/rebalance.h"
#include "kafka/kafka_conf.h"
#include "kafka/kafka_destroy.h"
#include "task/crowd.h"
#include "task/outcome.h"
#include "telemetry/crash_notes.h"
#include "telemetry/metrics.h"
#include "telemetry/watchdog.h"
#include "wire/record_time.h"

#define POLL_MS 100
#define LOOK_EVERY_MS 20
#define LOOK_EVERY_RECORDS 64
#define LEAVING_LOOK_MS 5
#define ODD_TIME_MS 60000
#define LEAVE_MS_MIN 1000 /* for the LeaveGroup, should the last commit have taken all the time */

struct intake {
    const struct service *service;
    rd_kafka_t *consumer;
    struct prefetch *prefetch;
    struct committer *committer;
    struct rebalance *rebalance;
    struct liveness *liveness;
    pthread_t thread;
    atomic_bool held;
    atomic_bool stopping;
    _Atomic int64_t stop_by_ms; /* clock_mono_ms; INT64_MAX: no stop requested */
    atomic_bool joined;   /* once at least */
    atomic_bool in_group; /* intake_in_group */
    atomic_bool joining; /* set by join_watch, read by the committer: no commits meanwhile */
    struct mutex lock; /* guards failure */
    struct error failure;

    /* Intake thread only. */
    struct assignments assignments;
    struct job_reading reading;
    struct gathering gathering;
    int64_t odd_time_ms; /* clock_mono_ms: when one was last logged; 0: never */
    bool left; /* the client closed in time; read once the thread has ended */
};

/* From within a poll. */
static void rebalanced(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    (void)rk;
    struct intake *intake = opaque;
    rebalance_serve(intake->rebalance, err, list);
    if (err != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        return;
    atomic_store(&intake->joined, true);
    atomic_store(&intake->in_group, true);
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

/* A producer with a wrong clock or unit writes all its records so: one line a minute is enough. */
static void tell_odd_time(struct intake *intake, const struct task *task)
{
    struct record_time time = record_time_look(task->record.timestamp_ms, task->received_wall_ms);
    if (task->job.deadline_ms == 0 || !record_time_is_absurd(time.fault))
        return;
    METRIC_INC(odd_timestamps_total);
    if (intake->odd_time_ms != 0 && task->received_ms - intake->odd_time_ms < ODD_TIME_MS)
        return;
    intake->odd_time_ms = task->received_ms;
    log_warn("odd_timestamp", F_STR("job", task->job.id), F_INT("partition", task->record.partition), F_INT("offset", task->record.offset),
             F_INT("timestamp", task->record.timestamp_ms), F_STR("hint", record_time_hint(time.fault)));
}

static void take_record(struct intake *intake, const rd_kafka_message_t *message)
{
    struct partition *partition = assignments_find(&intake->assignments, rd_kafka_topic_name(message->rkt), message->partition);
    if (partition == NULL || !partition->begun || partition->leaving)
        return; /* fetched before a revoke */
    partition->next = message->offset + 1;
    partition->next_epoch = leader_epoch(message);
    partition->broker = rd_kafka_message_broker_id(message);
    switch (partition_receive(partition, message->offset, partition->next_epoch)) {
    case OFFSET_SEEN: METRIC_INC(jobs_duplicate_offset_total); return;
    case OFFSET_DONE_BEFORE: METRIC_INC(jobs_done_before_total); return;
    case OFFSET_NEW: METRIC_INC(jobs_received_total); break;
    }
    breakers_let_in(intake->service->breakers);
    struct record record = copy_record(message);
    struct task *task = task_create(&record, partition);
    if (decode(intake->service, task, &intake->reading.limits) == STATUS_OK) {
        job_reading_count_unknown(&task->record, &task->job);
        tell_odd_time(intake, task);
        if (request_is_streamed(intake->service, task))
            delta_publisher_prepare(intake->service->deltas);
        if (!dispatcher_add(intake->service->dispatcher, task))
            completion_cancel(intake->service->completion, task);
        return;
    }
    METRIC_INC(jobs_undecodable_total);
    task->settled = true; /* no claim to end: there is no id to trust */
    outcome_dead(task);
    dispatcher_add_ended(intake->service->dispatcher, task);
    completion_put(intake->service->completion, &task);
}

/* A client that has failed accepts no commits and calls back for no revoke: its partitions are lost from now on. */
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
    rebalance_give_up(intake->rebalance);
}

static void take_error(struct intake *intake, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) /* the client has left the group, and joins anew */
        atomic_store(&intake->in_group, false);
    if (message->err == RD_KAFKA_RESP_ERR__FATAL)
        fail(intake);
    else if (!rebalance_take_error(intake->rebalance, message))
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

/* librdkafka's own close has no time-out, and sometimes, called during a rebalance, never returns. Without a LeaveGroup the
 * group reassigns our partitions when the session has timed out. */
static void leave(struct intake *intake)
{
    int64_t until = atomic_load(&intake->stop_by_ms);
    committer_bound(intake->committer, until);
    rebalance_close(intake->rebalance, until);
    committer_now(intake->committer);
    atomic_store(&intake->in_group, false);
    if (until < clock_mono_ms() + LEAVE_MS_MIN)
        until = clock_mono_ms() + LEAVE_MS_MIN;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(intake->consumer);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(intake->consumer, queue);
    while (error == NULL && !rd_kafka_consumer_closed(intake->consumer) && clock_mono_ms() < until) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, rebalance_is_leaving(intake->rebalance) ? LEAVING_LOOK_MS : POLL_MS);
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE) /* the revoke of the remaining partitions */
            rebalance_serve(intake->rebalance, rd_kafka_event_error(event), rd_kafka_event_topic_partition_list(event));
        rd_kafka_event_destroy(event);
        rebalance_look(intake->rebalance);
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

/* The consumer's own queue: rebalances (in their callback) and errors. A consumer that doesn't poll this queue is removed from the
 * group (max.poll.interval.ms), however many records it takes. */
static void serve_events(struct intake *intake, int timeout_ms)
{
    for (rd_kafka_message_t *message; (message = rd_kafka_consumer_poll(intake->consumer, timeout_ms)) != NULL; timeout_ms = 0) {
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            prefetch_follow_stray(intake->prefetch, message);
        take(intake, message);
    }
}

static void look(struct intake *intake, bool held_back)
{
    serve_events(intake, 0);
    rebalance_look(intake->rebalance);
    pausing_look(intake->service, intake->consumer, intake->prefetch, &intake->assignments, held_back);
    committer_look(intake->committer);
    liveness_look(intake->liveness, &intake->assignments);
    watchdog_feed(WATCHED_INTAKE); /* only here: an intake that never gets here makes no progress */
}

static int look_every_ms(const struct intake *intake)
{
    return rebalance_is_leaving(intake->rebalance) ? LEAVING_LOOK_MS : LOOK_EVERY_MS;
}

/* Lets records gather (gathering.h). False: they needn't, or others wait for this thread. */
static bool rest(struct intake *intake)
{
    int rest_ms = gathering_rest_ms(&intake->gathering, is_crowded(), (int)intake->service->settings->worker.gather_ms);
    if (rest_ms == 0 || rebalance_is_leaving(intake->rebalance) || atomic_load(&intake->stopping))
        return false;
    METRIC_INC(intake_rests_total);
    serve_events(intake, rest_ms < LOOK_EVERY_MS ? rest_ms : LOOK_EVERY_MS);
    return true;
}

/* The next record, now or soon. */
static void take_next(struct intake *intake)
{
    rd_kafka_message_t *message = prefetch_take(intake->prefetch);
    if (message == NULL && rest(intake))
        message = prefetch_take(intake->prefetch);
    if (message == NULL)
        message = prefetch_wait(intake->prefetch, &intake->assignments, look_every_ms(intake));
    if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        gathering_note_taken(&intake->gathering);
    take(intake, message);
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
            take_next(intake);
        /* Records come in bursts: this runs from time to time, not after each record. */
        int64_t now = clock_mono_ms();
        if (++records % LOOK_EVERY_RECORDS == 0 || now >= next_look_ms) {
            look(intake, hold_ms > 0);
            next_look_ms = now + look_every_ms(intake);
        }
    }
    watchdog_rest(WATCHED_INTAKE);
    leave(intake);
    return NULL;
}

static void destroy(struct intake *intake)
{
    assignments_finish(&intake->assignments);
    rebalance_destroy(intake->rebalance);
    liveness_destroy(intake->liveness);
    committer_destroy(intake->committer);
    prefetch_end(intake->prefetch);
    kafka_let_coordinator_go();
    rd_kafka_destroy(intake->consumer);
    prefetch_destroy(intake->prefetch);
    mutex_destroy(&intake->lock);
    free(intake);
}

enum status intake_start(const struct service *service, const char *bootstrap, struct intake **ret, struct error *err)
{
    rd_kafka_conf_t *conf = NULL;
    char why[256];
    if (kafka_conf_make(service->settings, bootstrap, RD_KAFKA_CONSUMER, &conf, err) != STATUS_OK)
        return STATUS_FAILED;
    if (kafka_conf_fetch_in_rounds(conf, service->settings, service->jobs_partitions, err) != STATUS_OK) {
        rd_kafka_conf_destroy(conf);
        return STATUS_FAILED;
    }
    struct intake *intake = xcalloc(1, sizeof *intake);
    intake->service = service;
    intake->stop_by_ms = INT64_MAX;
    job_reading_init(&intake->reading, service->settings);
    mutex_init(&intake->lock);
    rd_kafka_conf_set_opaque(conf, intake);
    rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
    (void)rd_kafka_conf_set(conf, "auto.offset.reset", "error", why, sizeof why); /* rebalance.h: returns an error instead of moving */
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
    intake->committer = committer_create(service, intake->consumer, &intake->assignments, &intake->joining);
    intake->liveness = liveness_create(service, bootstrap, intake->consumer);
    publisher_follow(service->publisher, intake->consumer);
    intake->rebalance = rebalance_create(service, intake->consumer, &intake->assignments, intake->prefetch, intake->committer);
    rd_kafka_resp_err_t rc = intake->rebalance != NULL ? subscribe(intake) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (intake->rebalance == NULL || rc != RD_KAFKA_RESP_ERR_NO_ERROR || pthread_create(&intake->thread, NULL, intake_main, intake) != 0) {
        publisher_follow(service->publisher, NULL);
        if (intake->rebalance != NULL)
            rebalance_close(intake->rebalance, 0);
        destroy(intake);
        return error_set(err, ERROR_FATAL, "intake_start", "intake: %s", rc ? rd_kafka_err2str(rc) : "a thread can't be started; check the limit on processes");
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

/* librdkafka before 2.3.0 aborts when a consumer is destroyed that joined the group but was never assigned anything (its
 * #4381), and every version blocks on one that doesn't close. Then the process's end, which comes next, frees it. */
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
    destroy(intake);
    return true;
}
