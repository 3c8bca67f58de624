#include "completion/delta_publisher.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "kafka/kafka_conf.h"
#include "kafka/kafka_destroy.h"
#include "telemetry/metrics.h"

#define LINGER_MS "5"         /* too short to notice, and tokens of many jobs share a request */
#define GIVE_UP_MS "10000"    /* older deltas are of no use */
#define QUEUED_MAX "50000" /* about 500 bytes each, besides the text, whose bound is: */
#define QUEUED_KIB_MAX "16384"
#define LAST_MS 500
#define DESTROY_MS 3000
#define RETIRED_MAX 8 /* clients that failed for good (publisher_plain.c): a call of another thread may be in them, so they are destroyed at the end only */

struct delta_publisher {
    const struct settings *settings;
    char *bootstrap;
    struct mutex lock; /* guards the members below */
    rd_kafka_t *client; /* NULL: not made yet */
    bool refused;      /* it can't be made; logged once */
    rd_kafka_t *retired[RETIRED_MAX];
    size_t retired_count;
};

struct delta_publisher *delta_publisher_create(const struct settings *settings, const char *bootstrap)
{
    struct delta_publisher *publisher = xcalloc(1, sizeof *publisher);
    publisher->settings = settings;
    publisher->bootstrap = xstrdup(bootstrap);
    mutex_init(&publisher->lock);
    return publisher;
}

static void end_client(rd_kafka_t *client, int64_t until)
{
    if (client == NULL)
        return;
    rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(client, LAST_MS);
    (void)!kafka_destroy(client, until); /* late reports only access a counter */
}

void delta_publisher_destroy(struct delta_publisher *publisher)
{
    if (publisher == NULL)
        return;
    int64_t until = clock_mono_ms() + LAST_MS + LAST_MS + DESTROY_MS;
    if (publisher->client != NULL)
        rd_kafka_flush(publisher->client, LAST_MS);
    end_client(publisher->client, until);
    for (size_t i = 0; i < publisher->retired_count; i++)
        end_client(publisher->retired[i], until);
    mutex_destroy(&publisher->lock);
    free(publisher->bootstrap);
    free(publisher);
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client, (void)opaque;
    METRIC_ADD(deltas_dropped_total, message->err != RD_KAFKA_RESP_ERR_NO_ERROR);
}

static rd_kafka_t *make_client(const struct delta_publisher *publisher, struct error *err)
{
    static const struct {
        const char *name, *value;
    } ours[] = {{"linger.ms", LINGER_MS}, {"message.timeout.ms", GIVE_UP_MS}, {"queue.buffering.max.messages", QUEUED_MAX}, {"queue.buffering.max.kbytes", QUEUED_KIB_MAX}};
    rd_kafka_conf_t *conf = NULL;
    char why[256] = "";
    if (kafka_conf_make(publisher->settings, publisher->bootstrap, RD_KAFKA_PRODUCER, &conf, err) != STATUS_OK)
        return NULL;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (rd_kafka_conf_set(conf, ours[i].name, ours[i].value, why, sizeof why) != RD_KAFKA_CONF_OK)
            log_warn("deltas_setting", F_STR("error", why));
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)error_set(err, ERROR_PERMANENT, "kafka_conf", "kafka producer of deltas: %s", why);
    }
    return client;
}

/* A client that failed for good is replaced, as the one of replies is. */
static void retire_dead_locked(struct delta_publisher *publisher) REQUIRES(publisher->lock)
{
    char why[160] = "";
    rd_kafka_resp_err_t rc = publisher->client != NULL ? rd_kafka_fatal_error(publisher->client, why, sizeof why) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR || publisher->retired_count == RETIRED_MAX)
        return;
    publisher->retired[publisher->retired_count++] = publisher->client;
    publisher->client = NULL;
    METRIC_INC(producers_renewed_total);
    log_warn("deltas_producer_renewed", F_STR("code", rd_kafka_err2name(rc)), F_STR("error", why), F_INT("so_far", publisher->retired_count),
             F_INT("at_most", RETIRED_MAX), F_STR("hint", "deltas were dropped; the replies bring the whole"));
}

static rd_kafka_t *client_of(struct delta_publisher *publisher)
{
    struct error err = {0};
    mutex_lock(&publisher->lock);
    retire_dead_locked(publisher);
    if (publisher->client == NULL && !publisher->refused) {
        publisher->client = make_client(publisher, &err);
        publisher->refused = publisher->client == NULL;
        if (publisher->refused)
            log_error("deltas_impossible", F_STR("error", err.message), F_STR("hint", "replies come all the same"));
    }
    rd_kafka_t *client = publisher->client;
    mutex_unlock(&publisher->lock);
    return client;
}

void delta_publisher_send(struct delta_publisher *publisher, const struct record *record, const struct delta *delta)
{
    rd_kafka_t *client = client_of(publisher);
    AUTO_FREE char *value = delta_encode(delta);
    const void *key = record->key != NULL ? record->key : delta->job;
    size_t key_size = record->key != NULL ? record->key_size : strlen(delta->job);
    METRIC_INC(deltas_total);
    if (client == NULL ||
        rd_kafka_producev(client, RD_KAFKA_V_TOPIC(publisher->settings->worker.deltas_topic), RD_KAFKA_V_KEY(key, key_size),
                          RD_KAFKA_V_VALUE(value, strlen(value)), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR)
        METRIC_INC(deltas_dropped_total);
    if (client != NULL)
        rd_kafka_poll(client, 0); /* serves delivery reports */
}
