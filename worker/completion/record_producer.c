#include "completion/record_producer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "completion/end.h"
#include "kafka/kafka_conf.h"
#include "kafka/kafka_destroy.h"
#include "telemetry/metrics.h"
#include "wire/dead_letter.h"
#include "wire/reply_route.h"

#define PURGE_MS 1000
#define DESTROY_MS 3000
/* In transactions: records are grouped already, so lingering gains little; and a transaction that follows at once on another gets a retriable
 * error until that one's markers are written, which takes less than the default backoff of 100 ms. */
#define LINGER_MS "2"
#define RETRY_BACKOFF_MS "20"

struct record_producer {
    rd_kafka_t *client;
    rd_kafka_topic_t *topics[2]; /* held only so that their metadata stays known */
    const struct settings *settings;
    record_report *report;
    void *report_arg;
};

/* A record's opaque is its task, with the lowest bit set for a dead letter. */
static void *tag(struct task *task, bool is_dead_letter)
{
    return (void *)((uintptr_t)task | (uintptr_t)is_dead_letter);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct record_producer *producer = opaque;
    bool is_dead_letter = (uintptr_t)message->_private & 1;
    struct task *task = (struct task *)((uintptr_t)message->_private & ~(uintptr_t)1);
    struct refusal why;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        refusal_set(&why, message->err, NULL);
    task->published_bytes[is_dead_letter] = 0;
    task_weigh_end(task);
    producer->report(task, is_dead_letter, message->err ? &why : NULL, producer->report_arg);
    task_unref(task);
}

static bool is_given(const struct settings *settings, const char *name, const char *alias)
{
    return settings_kafka_property(settings, name) != NULL || settings_kafka_property(settings, alias) != NULL;
}

/* message.timeout.ms no longer than the transaction's: a record that can't be sent ends with its transaction. */
static enum status make_transactional(const struct settings *settings, rd_kafka_conf_t *conf, const char *id, struct error *err)
{
    char why[256] = "", timeout_ms[32];
    size_t size = sizeof timeout_ms;
    bool keep_timeout = is_given(settings, "message.timeout.ms", "delivery.timeout.ms");
    bool keep_backoff = is_given(settings, "retry.backoff.ms", "retry.backoff.ms");
    bool keep_linger = is_given(settings, "linger.ms", "queue.buffering.max.ms");
    if (rd_kafka_conf_set(conf, "transactional.id", id, why, sizeof why) == RD_KAFKA_CONF_OK &&
        rd_kafka_conf_get(conf, "transaction.timeout.ms", timeout_ms, &size) == RD_KAFKA_CONF_OK &&
        (keep_timeout || rd_kafka_conf_set(conf, "message.timeout.ms", timeout_ms, why, sizeof why) == RD_KAFKA_CONF_OK) &&
        (keep_backoff || rd_kafka_conf_set(conf, "retry.backoff.ms", RETRY_BACKOFF_MS, why, sizeof why) == RD_KAFKA_CONF_OK) &&
        (keep_linger || rd_kafka_conf_set(conf, "linger.ms", LINGER_MS, why, sizeof why) == RD_KAFKA_CONF_OK))
        return STATUS_OK;
    return error_set(err, ERROR_PERMANENT, "kafka_conf", "kafka producer, transactions: %s", why);
}

static enum status make_conf(const struct settings *settings, const char *bootstrap, const char *transactional_id, rd_kafka_conf_t **ret, struct error *err)
{
    if (kafka_conf_make(settings, bootstrap, RD_KAFKA_PRODUCER, ret, err) != STATUS_OK)
        return STATUS_FAILED;
    if (transactional_id == NULL || make_transactional(settings, *ret, transactional_id, err) == STATUS_OK)
        return STATUS_OK;
    rd_kafka_conf_destroy(*ret);
    return STATUS_FAILED;
}

enum status record_producer_check(const struct settings *settings, struct error *err)
{
    const char *id = settings->worker.delivery == DELIVERY_EXACTLY_ONCE ? "check" : NULL;
    rd_kafka_conf_t *conf = NULL;
    if (make_conf(settings, KAFKA_NOBODY, id, &conf, err) != STATUS_OK)
        return STATUS_FAILED;
    return kafka_conf_try(conf, RD_KAFKA_PRODUCER, err);
}

enum status record_producer_create(const struct settings *settings, const char *bootstrap, const char *transactional_id,
                                   record_report *report, void *arg, struct record_producer **ret, struct error *err)
{
    rd_kafka_conf_t *conf = NULL;
    char why[256];
    if (make_conf(settings, bootstrap, transactional_id, &conf, err) != STATUS_OK)
        return STATUS_FAILED;
    struct record_producer *producer = xcalloc(1, sizeof *producer);
    *producer = (struct record_producer){.settings = settings, .report = report, .report_arg = arg};
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, producer);
    producer->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (producer->client == NULL) {
        rd_kafka_conf_destroy(conf);
        free(producer);
        return error_set(err, ERROR_PERMANENT, "kafka_conf", "kafka producer: %s", why);
    }
    *ret = producer;
    return STATUS_OK;
}

/* librdkafka asks for a topic's metadata at the first record, on a timer of a second. */
void record_producer_prepare(struct record_producer *producer, int limit_ms)
{
    const char *names[] = {producer->settings->worker.replies_topic, producer->settings->worker.dead_topic};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct rd_kafka_metadata *metadata = NULL;
        if (producer->topics[i] == NULL)
            producer->topics[i] = rd_kafka_topic_new(producer->client, names[i], NULL);
        if (producer->topics[i] != NULL &&
            rd_kafka_metadata(producer->client, 0, producer->topics[i], &metadata, limit_ms) == RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_metadata_destroy(metadata);
    }
}

/* Not waited for within rd_kafka_purge: that waits for each broker's thread without a bound, one of which may be looking up a name. */
void record_producer_give_up(struct record_producer *producer)
{
    rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_flush(producer->client, PURGE_MS);
    for (size_t i = 0; i < sizeof producer->topics / sizeof *producer->topics; i++) {
        if (producer->topics[i] != NULL)
            rd_kafka_topic_destroy(producer->topics[i]);
        producer->topics[i] = NULL;
    }
}

bool record_producer_destroy(struct record_producer *producer)
{
    if (producer == NULL)
        return true;
    int64_t until = clock_mono_ms() + DESTROY_MS;
    record_producer_give_up(producer); /* so that no task leaks */
    if (!kafka_destroy(producer->client, until))
        return false;
    free(producer);
    return true;
}

void record_producer_destroy_later(struct record_producer *producer)
{
    kafka_destroy_later(producer->client, producer);
}

static rd_kafka_headers_t *to_kafka(const struct headers *headers)
{
    rd_kafka_headers_t *out = rd_kafka_headers_new(headers->count);
    for (size_t i = 0; i < headers->count; i++)
        rd_kafka_header_add(out, headers->items[i].name, -1, headers->items[i].value, (ssize_t)headers->items[i].size);
    return out;
}

#define MESSAGE_BYTES 512 /* librdkafka's struct, followed by key and value */
#define HEADER_BYTES 64   /* for each header, followed by name and value */

/* The client's copy. */
static size_t copied_bytes(const struct task *task, size_t size, const struct headers *headers)
{
    size_t bytes = alloc_bytes(MESSAGE_BYTES + task->record.key_size + size);
    for (size_t i = 0; i < headers->count; i++)
        bytes += alloc_bytes(HEADER_BYTES + strlen(headers->items[i].name) + headers->items[i].size);
    return bytes;
}

static enum status produce(struct record_producer *producer, struct task *task, bool is_dead_letter, const char *topic, int32_t partition,
                           const void *value, size_t size, const struct headers *headers, struct refusal *why)
{
    rd_kafka_headers_t *kafka_headers = to_kafka(headers);
    rd_kafka_resp_err_t rc = rd_kafka_producev(
        producer->client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(task->record.key, task->record.key_size),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)value, size), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_HEADERS(kafka_headers), RD_KAFKA_V_OPAQUE(tag(task, is_dead_letter)), RD_KAFKA_V_END);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
        task_ref(task);
        task->published_bytes[is_dead_letter] = copied_bytes(task, size, headers);
        task_weigh_end(task);
        return STATUS_OK;
    }
    rd_kafka_headers_destroy(kafka_headers);
    if (rc == RD_KAFKA_RESP_ERR__QUEUE_FULL && rd_kafka_outq_len(producer->client) == 0) /* full although empty: the record never fits */
        rc = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    refusal_set(why, rc, topic);
    return why->kind == REFUSAL_QUEUE_FULL ? STATUS_AGAIN : STATUS_FAILED;
}

static void tell_ignored(const struct task *task, enum route_ignored ignored)
{
    static const char *const hints[] = {
        [ROUTE_TOPIC] = "kafka_replyTopic isn't in worker.reply_topics_allowed; the reply goes to worker.replies_topic",
        [ROUTE_PARTITION_ALONE] = "kafka_replyPartition goes with a kafka_replyTopic; the reply goes by its key",
        [ROUTE_PARTITION_MALFORMED] = "kafka_replyPartition isn't a partition as 4 bytes, big-endian; the reply goes by its key",
    };
    if (ignored == ROUTE_FOLLOWED)
        return;
    METRIC_INC(reply_routes_ignored_total);
    log_warn(ignored == ROUTE_TOPIC ? "reply_topic_refused" : "reply_partition_ignored", F_STR("job", task->job.id),
             F_INT("partition", task->record.partition), F_INT("offset", task->record.offset), F_STR("hint", hints[ignored]));
}

enum status record_producer_reply(struct record_producer *producer, struct task *task, struct refusal *why)
{
    struct reply_route route = {0};
    reply_route(&task->record, &task->job, producer->settings->worker.replies_topic,
                (const char *const *)producer->settings->worker.reply_topics_allowed, &route);
    const char *topic = task->end->own_topic_refused ? producer->settings->worker.replies_topic : route.topic;
    int32_t partition = task->end->own_topic_refused || task->end->own_partition_refused ? RD_KAFKA_PARTITION_UA : route.partition;
    enum status status = produce(producer, task, false, topic, partition, task->reply, strlen(task->reply), &route.headers, why);
    if (status != STATUS_AGAIN)
        tell_ignored(task, route.ignored);
    headers_finish(&route.headers);
    return status;
}

enum status record_producer_dead_letter(struct record_producer *producer, struct task *task, struct refusal *why)
{
    struct headers headers = {0};
    int64_t now = clock_wall_ms();
    struct dead_letter_cause cause = {.group = producer->settings->kafka.group_id,
                                      .error = &task->error,
                                      .provider_message = task->said,
                                      .attempts = task_attempts(task),
                                      .first_failed_at_ms = task->first_failed_ms ? task->first_failed_ms : now,
                                      .last_failed_at_ms = now};
    dead_letter_headers(&task->record, &cause, &headers);
    if (task->end->value_omitted)
        dead_letter_mark_omitted(&headers, task->record.value_size);
    enum status status = produce(producer, task, true, producer->settings->worker.dead_topic, RD_KAFKA_PARTITION_UA, task->end->value_omitted ? NULL : task->record.value,
                                 task->end->value_omitted ? 0 : task->record.value_size, &headers, why);
    headers_finish(&headers);
    return status;
}

rd_kafka_t *record_producer_client(struct record_producer *producer)
{
    return producer->client;
}
