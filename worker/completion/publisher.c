#include "completion/publisher.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "intake/kafka_conf.h"
#include "wire/dead_letter.h"
#include "wire/reply_route.h"

#define FULL_QUEUE_POLL_MS 50
#define PREPARE_MS 5000

struct publisher {
    rd_kafka_t *producer;
    rd_kafka_topic_t *topics[2]; /* held only so that their metadata stays known */
    const struct settings *settings;
    publisher_report *report;
    void *report_arg;
};

/* A record's opaque is its task, with the lowest bit saying which of the two records it is. */
static void *tag(struct task *task, bool is_dead_letter)
{
    return (void *)((uintptr_t)task | (uintptr_t)is_dead_letter);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct publisher *publisher = opaque;
    bool is_dead_letter = (uintptr_t)message->_private & 1;
    struct task *task = (struct task *)((uintptr_t)message->_private & ~(uintptr_t)1);
    struct error err = {0};
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        error_set(&err, ERROR_PERMANENT, rd_kafka_err2name(message->err), "%s", rd_kafka_err2str(message->err));
    publisher->report(task, is_dead_letter, message->err ? &err : NULL, publisher->report_arg);
    task_unref(task);
}

/* librdkafka looks a topic up on the first record, on a timer of a second: the first reply would wait for it. A
 * look-up that fails here is made again then. */
static void prepare_topics(struct publisher *publisher)
{
    const char *names[] = {publisher->settings->worker.replies_topic, publisher->settings->worker.dead_topic};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct rd_kafka_metadata *metadata = NULL;
        publisher->topics[i] = rd_kafka_topic_new(publisher->producer, names[i], NULL);
        if (publisher->topics[i] != NULL &&
            rd_kafka_metadata(publisher->producer, 0, publisher->topics[i], &metadata, PREPARE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_metadata_destroy(metadata);
    }
}

enum status publisher_create(const struct settings *settings, const char *bootstrap, publisher_report *report,
                             struct publisher **ret, struct error *err)
{
    struct publisher *publisher = xcalloc(1, sizeof *publisher);
    publisher->settings = settings;
    publisher->report = report;
    rd_kafka_conf_t *conf = NULL;
    if (kafka_conf_make(settings, bootstrap, RD_KAFKA_PRODUCER, &conf, err) != STATUS_OK) {
        free(publisher);
        return STATUS_FAILED;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, publisher);
    char why[256];
    publisher->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (publisher->producer == NULL) {
        rd_kafka_conf_destroy(conf);
        free(publisher);
        return error_set(err, ERROR_FATAL, "kafka_conf", "kafka producer: %s", why);
    }
    prepare_topics(publisher);
    *ret = publisher;
    return STATUS_OK;
}

void publisher_set_report_arg(struct publisher *publisher, void *arg)
{
    publisher->report_arg = arg;
}

void publisher_destroy(struct publisher *publisher)
{
    if (publisher == NULL)
        return;
    /* What is still queued ends with a report each, so that no task leaks. */
    rd_kafka_purge(publisher->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(publisher->producer, 1000);
    for (size_t i = 0; i < sizeof publisher->topics / sizeof *publisher->topics; i++)
        if (publisher->topics[i] != NULL)
            rd_kafka_topic_destroy(publisher->topics[i]);
    rd_kafka_destroy(publisher->producer);
    free(publisher);
}

static rd_kafka_headers_t *to_kafka(const struct headers *headers)
{
    rd_kafka_headers_t *out = rd_kafka_headers_new(headers->count);
    for (size_t i = 0; i < headers->count; i++)
        rd_kafka_header_add(out, headers->items[i].name, -1, headers->items[i].value, (ssize_t)headers->items[i].size);
    return out;
}

static enum status produce(struct publisher *publisher, struct task *task, bool is_dead_letter, const char *topic,
                           const void *value, size_t size, const struct headers *headers, struct error *err)
{
    rd_kafka_headers_t *kafka_headers = to_kafka(headers);
    for (;;) {
        rd_kafka_resp_err_t rc = rd_kafka_producev(
            publisher->producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(task->record.key, task->record.key_size),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)value, size), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_HEADERS(kafka_headers), RD_KAFKA_V_OPAQUE(tag(task, is_dead_letter)), RD_KAFKA_V_END);
        if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
            task_ref(task);
            return STATUS_OK;
        }
        if (rc != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            rd_kafka_headers_destroy(kafka_headers);
            return error_set(err, ERROR_PERMANENT, rd_kafka_err2name(rc), "%s: %s", topic, rd_kafka_err2str(rc));
        }
        rd_kafka_poll(publisher->producer, FULL_QUEUE_POLL_MS);
    }
}

enum status publisher_reply(struct publisher *publisher, struct task *task, const char *value, struct error *err)
{
    struct reply_route route = {0};
    bool refused = false;
    reply_route(&task->record, &task->job, publisher->settings->worker.replies_topic,
                (const char *const *)publisher->settings->worker.reply_topics_allowed, &route, &refused);
    if (refused)
        log_warn("reply_topic_refused", F_STR("job", task->job.id), F_INT("partition", task->record.partition),
                 F_INT("offset", task->record.offset));
    enum status status = produce(publisher, task, false, route.topic, value, strlen(value), &route.headers, err);
    headers_finish(&route.headers);
    return status;
}

enum status publisher_dead_letter(struct publisher *publisher, struct task *task, bool omit_value, struct error *err)
{
    struct headers headers = {0};
    int64_t now = clock_wall_ms();
    struct dead_letter_cause cause = {.group = publisher->settings->kafka.group_id,
                                      .error = &task->error,
                                      .attempts = task_attempts(task),
                                      .first_failed_at_ms = task->begin.first_failed_ms ? task->begin.first_failed_ms : now,
                                      .last_failed_at_ms = now};
    dead_letter_headers(&task->record, &cause, &headers);
    if (omit_value)
        dead_letter_mark_omitted(&headers, task->record.value_size);
    enum status status = produce(publisher, task, true, publisher->settings->worker.dead_topic,
                                 omit_value ? NULL : task->record.value, omit_value ? 0 : task->record.value_size,
                                 &headers, err);
    headers_finish(&headers);
    return status;
}

void publisher_poll(struct publisher *publisher, int timeout_ms)
{
    rd_kafka_poll(publisher->producer, timeout_ms);
}

void publisher_hurry(struct publisher *publisher, int timeout_ms)
{
    rd_kafka_flush(publisher->producer, timeout_ms);
}

int publisher_pending(struct publisher *publisher)
{
    return rd_kafka_outq_len(publisher->producer);
}
