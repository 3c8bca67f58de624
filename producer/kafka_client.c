#include "kafka_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/kafka_names.h"
#include "base/quotes.h"
#include "kafka/kafka_destroy.h"
#include "settings/secret_file.h"
#include "wire/embedded_address.h"

#define REACH_TIMEOUT_MS 5000
#define FULL_QUEUE_POLL_MS 50

static bool verbose; /* one program, one -v: librdkafka's log callback has no argument before rd_kafka_new returns */

/* A bounded queue bounds memory however long the input is. murmur2_random partitions keys like Java's clients. */
static const struct kafka_property_pair producer_defaults[] = {
    {"enable.idempotence", "true"},
    {"message.timeout.ms", "60000"},
    {"queue.buffering.max.messages", "10000"},
    {"queue.buffering.max.kbytes", "65536"},
    {"partitioner", "murmur2_random"},
    {"client.id", "chat-producer"},
    {NULL, NULL}};

static const struct kafka_property_pair consumer_defaults[] = {
    {"fetch.wait.max.ms", "100"},
    {"fetch.error.backoff.ms", "100"},
    {"queued.max.messages.kbytes", "16384"},
    {"client.id", "chat-producer"},
    {NULL, NULL}};

/* Consumer properties on producers, and the reverse, are accepted and ignored: librdkafka would warn of each. */
static void log_line(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    if (verbose && strcmp(facility, "CONFWARN") != 0)
        fprintf(stderr, "kafka %d %s: %s\n", level, facility, text);
}

/* librdkafka reconnects by itself; failures that matter are in delivery reports and in our own time-outs. */
static void error_seen(rd_kafka_t *rk, int rc, const char *reason, void *opaque)
{
    (void)rk, (void)opaque;
    if (verbose)
        fprintf(stderr, "kafka %s: %s\n", rd_kafka_err2name((rd_kafka_resp_err_t)rc), reason);
}

static enum status set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *err)
{
    char why[256], nearest[64];
    rd_kafka_conf_res_t res = rd_kafka_conf_set(conf, name, value, why, sizeof why);
    if (res == RD_KAFKA_CONF_OK)
        return STATUS_OK;
    if (res == RD_KAFKA_CONF_UNKNOWN && kafka_names_nearest(rd_kafka_conf_properties_show, name, nearest))
        return error_set(err, ERROR_PERMANENT, "kafka_property", "-X %s is unknown; do you mean %s?", name, nearest);
    if (res == RD_KAFKA_CONF_UNKNOWN)
        return error_set(err, ERROR_PERMANENT, "kafka_property", "-X %s is unknown to librdkafka; its properties: " KAFKA_NAMES_PAGE, name);
    bool secret = strstr(name, "password") || strstr(name, "secret") || strstr(name, ".pem") || strstr(name, "sasl.jaas");
    return error_set(err, ERROR_PERMANENT, "kafka_property", "-X %s: %s", name, secret ? "librdkafka refuses the value" : why);
}

static enum status set_all(rd_kafka_conf_t *conf, const struct kafka_property_pair *pairs, struct error *err)
{
    for (; pairs != NULL && pairs->name != NULL; pairs++)
        if (set(conf, pairs->name, pairs->value, err) != STATUS_OK)
            return STATUS_FAILED;
    return STATUS_OK;
}

static enum status set_given(rd_kafka_conf_t *conf, const struct common *common, struct error *err)
{
    for (size_t i = 0; i < common->property_count; i++) {
        const char *equals = strchr(common->properties[i], '=');
        AUTO_FREE char *name = xmemdup0(common->properties[i], (size_t)(equals - common->properties[i]));
        if (is_quoted(equals + 1))
            return error_set(err, ERROR_PERMANENT, "kafka_property", "-X %s: the quotes are a part of the value; write it without quotes", name);
        AUTO_FREE char *secret = NULL;
        char plain[64];
        const struct settings_entry twin = {.section = "kafka", .key = name, .value = (char *)(equals + 1), .where = "-X"};
        if (secret_file_names("kafka", name, plain)) {
            if (secret_file_read(&twin, &secret, err) != STATUS_OK || set(conf, plain, secret, err) != STATUS_OK)
                return STATUS_FAILED;
        } else if (set(conf, name, equals + 1, err) != STATUS_OK) {
            return STATUS_FAILED;
        }
    }
    return STATUS_OK;
}

static enum status find_bootstrap(const struct common *common, char **ret, struct error *err)
{
    static const char name[] = "bootstrap.servers=", variable[] = "CHATW__KAFKA__BOOTSTRAP_SERVERS";
    const char *found = common->bootstrap, *where = "-b";
    for (size_t i = 0; found == NULL && i < common->property_count; i++)
        if (strncmp(common->properties[i], name, sizeof name - 1) == 0)
            found = common->properties[i] + sizeof name - 1, where = "-X bootstrap.servers";
    if (found == NULL)
        found = getenv(variable), where = variable;
    if (found != NULL && begins_quoted(found))
        return error_set(err, ERROR_PERMANENT, "kafka_property", "%s: the quotes are a part of the value; write it without quotes", where);
    if (found == NULL || found[0] == '\0' || strcmp(found, "embedded") == 0)
        return embedded_address_read(ret, err);
    *ret = xstrdup(found);
    return STATUS_OK;
}

static enum status must_reach(rd_kafka_t *rk, const char *bootstrap, struct error *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t rc = rd_kafka_metadata(rk, 0, NULL, &metadata, REACH_TIMEOUT_MS);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, ERROR_UNAVAILABLE, "kafka_unreachable", "no broker answers at %s: %s; is it running, and is the address right? (-b sets it, -v says more)", bootstrap, rd_kafka_err2str(rc));
    rd_kafka_metadata_destroy(metadata);
    return STATUS_OK;
}

static enum status open_client(const struct common *common, rd_kafka_type_t type, rd_kafka_conf_t *conf,
                               const struct kafka_property_pair *must, rd_kafka_t **ret, struct error *err)
{
    AUTO_FREE char *bootstrap = NULL;
    char why[256];
    rd_kafka_t *rk = NULL;
    verbose = common->verbose;
    if (set_given(conf, common, err) != STATUS_OK || set_all(conf, must, err) != STATUS_OK ||
        find_bootstrap(common, &bootstrap, err) != STATUS_OK || set(conf, "bootstrap.servers", bootstrap, err) != STATUS_OK)
        goto failed;
    rd_kafka_conf_set_log_cb(conf, log_line);
    rd_kafka_conf_set_error_cb(conf, error_seen);
    rk = rd_kafka_new(type, conf, why, sizeof why);
    if (rk == NULL) {
        error_set(err, ERROR_PERMANENT, "kafka_conf", "librdkafka: %s", why);
        goto failed;
    }
    conf = NULL; /* owned by rk now */
    if (must_reach(rk, bootstrap, err) != STATUS_OK)
        goto failed;
    *ret = rk;
    return STATUS_OK;
failed:
    if (conf != NULL)
        rd_kafka_conf_destroy(conf);
    if (rk != NULL)
        rd_kafka_destroy(rk);
    return STATUS_FAILED;
}

enum status kafka_producer_open(const struct common *common, const struct kafka_property_pair *extra,
                                const struct kafka_property_pair *must, kafka_delivered *delivered, void *opaque,
                                rd_kafka_t **ret, struct error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (set_all(conf, producer_defaults, err) != STATUS_OK || set_all(conf, extra, err) != STATUS_OK) {
        rd_kafka_conf_destroy(conf);
        return STATUS_FAILED;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, opaque);
    return open_client(common, RD_KAFKA_PRODUCER, conf, must, ret, err);
}

enum status kafka_consumer_open(const struct common *common, const struct kafka_property_pair *must, rd_kafka_t **ret,
                                struct error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (set_all(conf, consumer_defaults, err) != STATUS_OK) {
        rd_kafka_conf_destroy(conf);
        return STATUS_FAILED;
    }
    if (open_client(common, RD_KAFKA_CONSUMER, conf, must, ret, err) != STATUS_OK)
        return STATUS_FAILED;
    rd_kafka_poll_set_consumer(*ret);
    return STATUS_OK;
}

void kafka_producer_close(rd_kafka_t *rk)
{
    if (rk == NULL)
        return;
    rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(rk, 1000);
    rd_kafka_destroy(rk);
}

void kafka_consumer_close(rd_kafka_t *rk)
{
    if (rk == NULL)
        return;
    rd_kafka_consumer_close(rk);
    kafka_let_coordinator_go();
    rd_kafka_destroy(rk);
}

int kafka_exit_status(const struct error *err)
{
    return err->class == ERROR_UNAVAILABLE ? EX_UNAVAILABLE : EX_USAGE;
}

/* Temporary: a topic that was just created has no leader for a moment. */
static bool passes(rd_kafka_resp_err_t rc)
{
    return rc == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE || rc == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

enum status kafka_partitions(rd_kafka_t *rk, const char *topic, int64_t wait_ms, rd_kafka_topic_partition_list_t **ret, struct error *err)
{
    int64_t until = clock_mono_ms() + wait_ms;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t rc = rd_kafka_last_error();
    while (handle != NULL) {
        const struct rd_kafka_metadata *metadata = NULL;
        rc = rd_kafka_metadata(rk, 0, handle, &metadata, REACH_TIMEOUT_MS);
        if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
            rc = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
            int count = rc == RD_KAFKA_RESP_ERR_NO_ERROR ? metadata->topics[0].partition_cnt : 0;
            if (count > 0) {
                *ret = rd_kafka_topic_partition_list_new(count);
                for (int i = 0; i < count; i++)
                    rd_kafka_topic_partition_list_add(*ret, topic, metadata->topics[0].partitions[i].id);
            }
            rd_kafka_metadata_destroy(metadata);
            if (count > 0) {
                rd_kafka_topic_destroy(handle);
                return STATUS_OK;
            }
        }
        if (!passes(rc) || clock_mono_ms() >= until || interrupts() > 0)
            break;
        usleep(100 * 1000);
    }
    if (handle != NULL)
        rd_kafka_topic_destroy(handle);
    return error_set(err, ERROR_UNAVAILABLE, "kafka_topic", "topic %s: %s", topic, rd_kafka_err2str(rc));
}

enum status kafka_must_have(rd_kafka_t *rk, const char *topic, struct error *err)
{
    rd_kafka_topic_partition_list_t *found = NULL;
    if (kafka_partitions(rk, topic, KAFKA_TOPIC_WAIT_MS, &found, err) != STATUS_OK)
        return STATUS_FAILED;
    rd_kafka_topic_partition_list_destroy(found);
    return STATUS_OK;
}

enum status kafka_watermarks(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t *ret_first, int64_t *ret_end,
                             struct error *err)
{
    rd_kafka_resp_err_t rc = rd_kafka_query_watermark_offsets(rk, topic, partition, ret_first, ret_end, REACH_TIMEOUT_MS);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, ERROR_UNAVAILABLE, "kafka_offsets", "offsets of %s, partition %d: %s", topic, (int)partition, rd_kafka_err2str(rc));
}

enum status kafka_add_ends(rd_kafka_t *rk, const char *topic, int64_t wait_ms, rd_kafka_topic_partition_list_t *list, struct error *err)
{
    rd_kafka_topic_partition_list_t *found = NULL;
    if (kafka_partitions(rk, topic, wait_ms, &found, err) != STATUS_OK)
        return STATUS_FAILED;
    enum status status = STATUS_OK;
    for (int i = 0; i < found->cnt && status == STATUS_OK; i++) {
        int64_t first, end;
        status = kafka_watermarks(rk, topic, found->elems[i].partition, &first, &end, err);
        if (status == STATUS_OK)
            rd_kafka_topic_partition_list_add(list, topic, found->elems[i].partition)->offset = end;
    }
    rd_kafka_topic_partition_list_destroy(found);
    return status;
}

enum status kafka_assign(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list, struct error *err)
{
    rd_kafka_resp_err_t rc = rd_kafka_assign(rk, list);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, ERROR_UNAVAILABLE, "kafka_assign", "%s: %s", list->cnt > 0 ? list->elems[0].topic : "no topic", rd_kafka_err2str(rc));
}

static rd_kafka_headers_t *to_kafka(const struct headers *headers)
{
    rd_kafka_headers_t *out = rd_kafka_headers_new(headers->count);
    for (size_t i = 0; i < headers->count; i++)
        rd_kafka_header_add(out, headers->items[i].name, -1, headers->items[i].value, (ssize_t)headers->items[i].size);
    return out;
}

rd_kafka_resp_err_t kafka_send(rd_kafka_t *rk, const char *topic, int32_t partition, const void *key, size_t key_size,
                               const void *value, size_t value_size, const struct headers *headers, void *opaque)
{
    static const struct headers none;
    rd_kafka_headers_t *kafka_headers = to_kafka(headers == NULL ? &none : headers);
    for (;;) {
        rd_kafka_resp_err_t rc = rd_kafka_producev(
            rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(key, key_size),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)value, value_size), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_HEADERS(kafka_headers), RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
        if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
            return rc; /* librdkafka owns the headers now */
        bool fits_never = rc == RD_KAFKA_RESP_ERR__QUEUE_FULL && rd_kafka_outq_len(rk) == 0; /* full although empty: larger than the whole queue */
        if (rc != RD_KAFKA_RESP_ERR__QUEUE_FULL || fits_never || interrupts() > 1) {
            rd_kafka_headers_destroy(kafka_headers);
            return fits_never ? RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE : rc;
        }
        rd_kafka_poll(rk, FULL_QUEUE_POLL_MS);
    }
}

bool kafka_drain(rd_kafka_t *rk, int patience)
{
    while (rd_kafka_outq_len(rk) > 0) {
        if (interrupts() > patience)
            return false;
        rd_kafka_flush(rk, 100);
    }
    return true;
}
