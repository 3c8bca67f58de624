#include "intake/control_reader.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "completion/completion.h"
#include "dispatch/cancelled_ids.h"
#include "dispatch/dispatcher_waiting.h"
#include "engine/engine.h"
#include "kafka/kafka_conf.h"
#include "telemetry/metrics.h"
#include "telemetry/watchdog.h"
#include "wire/control.h"
#include "wire/record_time.h"

#define POLL_MS 100
#define ANSWER_MS 2000
#define LOOK_EVERY_MS 60000  /* partitions may have been added */
#define LOOK_AGAIN_MS 5000   /* for a topic that doesn't exist */
#define CATCH_UP_MS 5000
#define TAIL_RECORDS 100

struct control_reader {
    const struct service *service;
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    pthread_t thread;
    atomic_bool stopping;
    struct mutex lock; /* guards caught_up */
    struct cond wake;
    bool caught_up;

    /* Only its thread uses these. */
    int32_t partition_count; /* of partitions that are read; 0: none */
    bool *at_end;            /* by partition: has its end been reached? */
    int64_t next_look_ms;
    bool missing_said;
};

/* ---- records ---- */

static void cancel(const struct service *service, const char *job, const rd_kafka_message_t *message)
{
    bool elsewhere;
    struct task *waiting = dispatcher_cancel(service->dispatcher, job, clock_mono_ms(), &elsewhere);
    log_debug("cancel_heard", F_STR("job", job), F_INT("partition", message->partition), F_INT("offset", message->offset),
              F_INT("waited", waiting != NULL), F_INT("under_way", elsewhere));
    completion_cancel(service->completion, waiting);
    if (elsewhere)
        engine_cancel_flagged(service->engine);
}

static bool is_old(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    struct record_time time = record_time_look(rd_kafka_message_timestamp(message, &type), clock_wall_ms());
    return time.age_ms > CANCELLED_KEPT_MS && !record_time_is_absurd(time.fault); /* seconds for milliseconds say nothing of its age */
}

static void take_record(const struct control_reader *reader, const rd_kafka_message_t *message)
{
    struct control control;
    struct error why;
    METRIC_INC(control_records_total);
    if (is_old(message))
        return;
    if (control_decode(message->payload, message->len, &control, &why) != STATUS_OK) {
        METRIC_INC(control_undecodable_total);
        log_warn("control_undecodable", F_STR("topic", rd_kafka_topic_name(message->rkt)), F_INT("partition", message->partition),
                 F_INT("offset", message->offset), F_STR("code", why.code), F_STR("error", why.message));
        return;
    }
    cancel(reader->service, control.cancel, message);
    control_finish(&control);
}

/* ---- where it reads ---- */

static void catch_up(struct control_reader *reader)
{
    mutex_lock(&reader->lock);
    reader->caught_up = true;
    cond_signal(&reader->wake);
    mutex_unlock(&reader->lock);
}

static void see_end(struct control_reader *reader, int32_t partition)
{
    if (partition < 0 || partition >= reader->partition_count || reader->at_end[partition])
        return;
    reader->at_end[partition] = true;
    for (int32_t i = 0; i < reader->partition_count; i++)
        if (!reader->at_end[i])
            return;
    catch_up(reader);
}

static void stop_reading(struct control_reader *reader)
{
    for (int32_t i = 0; i < reader->partition_count; i++)
        rd_kafka_consume_stop(reader->topic, i);
    free(reader->at_end);
    reader->at_end = NULL;
    reader->partition_count = 0;
}

/* How many partitions the topic has; 0: it doesn't exist; -1: no broker answers. */
static int32_t count_partitions(struct control_reader *reader)
{
    const struct rd_kafka_metadata *metadata = NULL;
    if (rd_kafka_metadata(reader->client, 0, reader->topic, &metadata, ANSWER_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return -1;
    rd_kafka_resp_err_t rc = metadata->topic_cnt > 0 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    int32_t count = rc == RD_KAFKA_RESP_ERR_NO_ERROR ? metadata->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(metadata);
    return count;
}

/* Each partition's first record that is young enough. Where the broker finds none, the last few are read all the same, and is_old drops those
 * with old timestamps: the in-memory cluster can't search by time and answers that there is none. */
static rd_kafka_topic_partition_list_t *find_starts(struct control_reader *reader, int32_t count)
{
    const char *name = reader->service->settings->worker.control_topic;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int32_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, name, i)->offset = clock_wall_ms() - CANCELLED_KEPT_MS;
    if (rd_kafka_offsets_for_times(reader->client, list, ANSWER_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_topic_partition_list_destroy(list);
        return NULL;
    }
    for (int32_t i = 0; i < count; i++)
        if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR || list->elems[i].offset < 0)
            list->elems[i].offset = RD_KAFKA_OFFSET_TAIL(TAIL_RECORDS);
    return list;
}

/* Starts a day back, also when partitions were added: to read a cancel twice does no harm. */
static bool read_all(struct control_reader *reader, int32_t count)
{
    rd_kafka_topic_partition_list_t *starts = find_starts(reader, count);
    if (starts == NULL)
        return false;
    stop_reading(reader);
    reader->at_end = xcalloc((size_t)count, sizeof *reader->at_end);
    reader->partition_count = count;
    for (int32_t i = 0; i < count; i++)
        if (rd_kafka_consume_start_queue(reader->topic, i, starts->elems[i].offset, reader->queue) != 0)
            log_warn("control_partition_unread", F_INT("partition", i), F_STR("error", rd_kafka_err2str(rd_kafka_last_error())));
    rd_kafka_topic_partition_list_destroy(starts);
    return true;
}

static void say_missing(struct control_reader *reader)
{
    if (!reader->missing_said)
        log_warn("control_topic_missing", F_STR("topic", reader->service->settings->worker.control_topic),
                 F_STR("hint", "no job can be cancelled until it is there; an empty worker.control_topic says that none will be"));
    reader->missing_said = true;
}

static void look(struct control_reader *reader)
{
    int32_t count = count_partitions(reader);
    reader->next_look_ms = clock_mono_ms() + LOOK_AGAIN_MS;
    if (count == 0) {
        stop_reading(reader);
        say_missing(reader);
        catch_up(reader);
    } else if (count > 0 && (count == reader->partition_count || read_all(reader, count))) {
        reader->missing_said = false;
        reader->next_look_ms = clock_mono_ms() + LOOK_EVERY_MS;
    }
}

static void take(struct control_reader *reader, const rd_kafka_message_t *message)
{
    switch (message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        take_record(reader, message);
        break;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        see_end(reader, message->partition);
        break;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        reader->next_look_ms = 0;
        break;
    default:
        log_warn("control_poll_error", F_STR("code", rd_kafka_err2name(message->err)), F_STR("error", rd_kafka_message_errstr(message)));
        break;
    }
}

/* ---- the thread ---- */

static void *control_main(void *arg)
{
    struct control_reader *reader = arg;
    pthread_setname_np(pthread_self(), "chat-control");
    while (!atomic_load(&reader->stopping)) {
        watchdog_feed(WATCHED_CONTROL);
        if (clock_mono_ms() >= reader->next_look_ms)
            look(reader);
        rd_kafka_message_t *message = rd_kafka_consume_queue(reader->queue, POLL_MS);
        if (message != NULL) {
            take(reader, message);
            rd_kafka_message_destroy(message);
        }
        rd_kafka_poll(reader->client, 0);
    }
    watchdog_rest(WATCHED_CONTROL);
    stop_reading(reader);
    return NULL;
}

/* No group: no commits, no coordinator. Records are fetched without delay, whatever the settings for the jobs' consumer. */
static enum status make_client(struct control_reader *reader, const char *bootstrap, struct error *err)
{
    static const char *const own[][2] = {{"group.id", NULL}, {"enable.partition.eof", "true"}, {"fetch.min.bytes", "1"}, {"allow.auto.create.topics", "false"}};
    rd_kafka_conf_t *conf = NULL;
    char why[256] = "";
    if (kafka_conf_make(reader->service->settings, bootstrap, RD_KAFKA_CONSUMER, &conf, err) != STATUS_OK)
        return STATUS_FAILED;
    bool set = true;
    for (size_t i = 0; i < sizeof own / sizeof *own && set; i++)
        set = rd_kafka_conf_set(conf, own[i][0], own[i][1], why, sizeof why) == RD_KAFKA_CONF_OK;
    reader->client = set ? rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why) : NULL;
    if (reader->client == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(err, ERROR_PERMANENT, "kafka_conf", "kafka client of the control topic: %s", why);
    }
    reader->topic = rd_kafka_topic_new(reader->client, reader->service->settings->worker.control_topic, NULL);
    if (reader->topic == NULL)
        return error_set(err, ERROR_PERMANENT, "kafka_conf", "worker.control_topic: %s", rd_kafka_err2str(rd_kafka_last_error()));
    reader->queue = rd_kafka_queue_new(reader->client);
    return STATUS_OK;
}

static void finish(struct control_reader *reader)
{
    if (reader->queue != NULL)
        rd_kafka_queue_destroy(reader->queue);
    if (reader->topic != NULL)
        rd_kafka_topic_destroy(reader->topic);
    if (reader->client != NULL)
        rd_kafka_destroy(reader->client);
    cond_destroy(&reader->wake);
    mutex_destroy(&reader->lock);
    free(reader);
}

static void wait_caught_up(struct control_reader *reader)
{
    int64_t until = clock_mono_ms() + CATCH_UP_MS;
    mutex_lock(&reader->lock);
    while (!reader->caught_up && cond_wait_until(&reader->wake, &reader->lock, until))
        ;
    bool caught_up = reader->caught_up;
    mutex_unlock(&reader->lock);
    if (!caught_up)
        log_warn("control_topic_behind", F_STR("hint", "jobs that were cancelled before the start may run until that has been read"));
}

enum status control_reader_start(const struct service *service, const char *bootstrap, struct control_reader **ret, struct error *err)
{
    *ret = NULL;
    if (service->settings->worker.control_topic == NULL)
        return STATUS_OK;
    struct control_reader *reader = xcalloc(1, sizeof *reader);
    reader->service = service;
    mutex_init(&reader->lock);
    cond_init(&reader->wake);
    if (make_client(reader, bootstrap, err) != STATUS_OK) {
        finish(reader);
        return STATUS_FAILED;
    }
    if (pthread_create(&reader->thread, NULL, control_main, reader) != 0) {
        finish(reader);
        return error_set(err, ERROR_FATAL, "thread_start", "the thread of the control topic can't be started; check ulimit -u");
    }
    wait_caught_up(reader);
    *ret = reader;
    return STATUS_OK;
}

void control_reader_end_soon(struct control_reader *reader)
{
    if (reader != NULL)
        atomic_store(&reader->stopping, true);
}

void control_reader_stop(struct control_reader *reader)
{
    if (reader == NULL)
        return;
    control_reader_end_soon(reader);
    pthread_join(reader->thread, NULL);
    finish(reader);
}
