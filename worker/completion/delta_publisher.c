#include "completion/delta_publisher.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "completion/renewals.h"
#include "kafka/kafka_conf.h"
#include "kafka/kafka_destroy.h"
#include "telemetry/metrics.h"

#define LINGER_MS "5"         /* too short to notice, and tokens of many jobs share a request */
#define GIVE_UP_MS "10000"    /* older deltas are of no use */
#define QUEUED_MAX "50000" /* about 500 bytes each, besides the text, whose bound is: */
#define QUEUED_KIB_MAX "16384"
#define LAST_MS 500
#define DESTROY_MS 3000

/* Job threads and event loops send at once, and meanwhile it may be replaced: who leaves it last buries it. */
struct delta_client {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic; /* held only so that its metadata is asked for with the first connection */
    int users; /* in a call of it; this and the next: guarded by the publisher's lock */
    bool retired;
};

struct delta_publisher {
    const struct settings *settings;
    char *bootstrap;
    struct mutex making; /* held while a client is made, which takes its time; guards the next two */
    struct renewals renewals;
    bool refused; /* it can't be made, or another wouldn't help; logged once */
    struct mutex lock; /* held briefly; guards the member below, and is taken after `making` */
    struct delta_client *client; /* NULL: not made yet. One that failed stays while renewals.h allows no other */
};

struct delta_publisher *delta_publisher_create(const struct settings *settings, const char *bootstrap)
{
    struct delta_publisher *publisher = xcalloc(1, sizeof *publisher);
    publisher->settings = settings;
    publisher->bootstrap = xstrdup(bootstrap);
    mutex_init(&publisher->making);
    mutex_init(&publisher->lock);
    return publisher;
}

static void give_up(struct delta_client *client, int flush_ms)
{
    rd_kafka_purge(client->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_flush(client->rk, flush_ms);
    METRIC_ADD(deltas_dropped_total, rd_kafka_outq_len(client->rk)); /* no report of these comes any more */
    if (client->topic != NULL)
        rd_kafka_topic_destroy(client->topic);
}

void delta_publisher_destroy(struct delta_publisher *publisher)
{
    if (publisher == NULL)
        return;
    if (publisher->client != NULL) {
        int64_t until = clock_mono_ms() + LAST_MS + LAST_MS + DESTROY_MS;
        rd_kafka_flush(publisher->client->rk, LAST_MS);
        give_up(publisher->client, LAST_MS);
        if (kafka_destroy(publisher->client->rk, until)) /* late reports only access a counter */
            free(publisher->client);
    }
    mutex_destroy(&publisher->lock);
    mutex_destroy(&publisher->making);
    free(publisher->bootstrap);
    free(publisher);
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client, (void)opaque;
    METRIC_ADD(deltas_dropped_total, message->err != RD_KAFKA_RESP_ERR_NO_ERROR);
}

static struct delta_client *make_client(const struct delta_publisher *publisher, struct error *err)
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
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)error_set(err, ERROR_PERMANENT, "kafka_conf", "kafka producer of deltas: %s", why);
        return NULL;
    }
    struct delta_client *client = xcalloc(1, sizeof *client);
    client->rk = rk;
    client->topic = rd_kafka_topic_new(rk, publisher->settings->worker.deltas_topic, NULL);
    return client;
}

/* Whoever was the last to use the client, be it an event loop: nothing here blocks. */
static void bury(struct delta_client *client)
{
    give_up(client, 0);
    kafka_destroy_later(client->rk, client);
}

/* ---- making and replacing ---- */

static struct delta_client *current(struct delta_publisher *publisher)
{
    mutex_lock(&publisher->lock);
    struct delta_client *client = publisher->client;
    mutex_unlock(&publisher->lock);
    return client;
}

/* Nobody enters the one before any more. It is returned if it is to be buried now: nobody is in it. */
static struct delta_client *change(struct delta_publisher *publisher, struct delta_client *client)
{
    mutex_lock(&publisher->lock);
    struct delta_client *before = publisher->client;
    publisher->client = client;
    if (before != NULL)
        before->retired = true;
    struct delta_client *unused = before != NULL && before->users == 0 ? before : NULL;
    mutex_unlock(&publisher->lock);
    return unused;
}

/* NULL: no client can be made, and none will be tried again. */
static struct delta_client *make_locked(struct delta_publisher *publisher) REQUIRES(publisher->making)
{
    struct error err = {0};
    struct delta_client *client = make_client(publisher, &err);
    publisher->refused = client == NULL;
    if (publisher->refused)
        log_error("deltas_impossible", F_STR("error", err.message), F_STR("hint", "replies come all the same"));
    return client;
}

void delta_publisher_prepare(struct delta_publisher *publisher)
{
    mutex_lock(&publisher->making);
    if (!publisher->refused && current(publisher) == NULL)
        (void)change(publisher, make_locked(publisher));
    mutex_unlock(&publisher->making);
}

/* rc: why the client failed for good. Returns one to be buried. */
static struct delta_client *replace_locked(struct delta_publisher *publisher, rd_kafka_resp_err_t rc, const char *why) REQUIRES(publisher->making)
{
    struct delta_client *next = NULL;
    if (renewals_help(rc)) {
        if (!renewals_allow(&publisher->renewals, clock_mono_ms()))
            return NULL; /* later */
        next = make_locked(publisher);
    } else {
        publisher->refused = true;
    }
    METRIC_ADD(producers_renewed_total, next != NULL);
    log_warn(next != NULL ? "deltas_producer_renewed" : "deltas_impossible", F_STR("code", rd_kafka_err2name(rc)), F_STR("error", why),
             F_STR("hint", "deltas were dropped; the replies bring the whole"));
    return change(publisher, next);
}

void delta_publisher_look_after(struct delta_publisher *publisher)
{
    char why[160] = "";
    struct delta_client *dead = NULL;
    mutex_lock(&publisher->making);
    struct delta_client *client = current(publisher); /* it stays: only who makes one retires one */
    rd_kafka_resp_err_t rc = client != NULL ? rd_kafka_fatal_error(client->rk, why, sizeof why) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        dead = replace_locked(publisher, rc, why);
    mutex_unlock(&publisher->making);
    if (dead != NULL)
        bury(dead);
}

/* ---- sending ---- */

static struct delta_client *enter(struct delta_publisher *publisher)
{
    mutex_lock(&publisher->lock);
    struct delta_client *client = publisher->client;
    if (client != NULL)
        client->users++;
    mutex_unlock(&publisher->lock);
    return client;
}

static void leave(struct delta_publisher *publisher, struct delta_client *client)
{
    mutex_lock(&publisher->lock);
    bool last = --client->users == 0 && client->retired;
    mutex_unlock(&publisher->lock);
    if (last)
        bury(client);
}

void delta_publisher_send(struct delta_publisher *publisher, const struct record *record, const struct delta *delta)
{
    struct delta_client *client = enter(publisher);
    AUTO_FREE char *value = delta_encode(delta);
    const void *key = record->key != NULL ? record->key : delta->job;
    size_t key_size = record->key != NULL ? record->key_size : strlen(delta->job);
    METRIC_INC(deltas_total);
    if (client == NULL ||
        rd_kafka_producev(client->rk, RD_KAFKA_V_TOPIC(publisher->settings->worker.deltas_topic), RD_KAFKA_V_KEY(key, key_size),
                          RD_KAFKA_V_VALUE(value, strlen(value)), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR)
        METRIC_INC(deltas_dropped_total);
    if (client == NULL)
        return;
    rd_kafka_poll(client->rk, 0); /* serves delivery reports */
    leave(publisher, client);
}
