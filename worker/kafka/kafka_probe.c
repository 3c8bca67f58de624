#include "kafka/kafka_probe.h"

#include "kafka/kafka_conf.h"

static _Thread_local int seen_error; /* the last error of the client's error callback */

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    (void)reason;
    (void)opaque;
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL)
        seen_error = code;
}

static enum status topic_there(rd_kafka_t *rk, const char *name, const char *bootstrap, int timeout_ms, int *ret_partitions, struct error *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    rd_kafka_resp_err_t rc = rd_kafka_metadata(rk, 0, topic, &metadata, timeout_ms);
    rd_kafka_topic_destroy(topic);
    rd_kafka_poll(rk, 0);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (seen_error != 0)
            return error_set(err, ERROR_PERMANENT, "kafka_refused", "Kafka at %s refuses us (%s); check security.protocol, sasl.* and ssl.* in [kafka]",
                             bootstrap, rd_kafka_err2str((rd_kafka_resp_err_t)seen_error));
        return error_set(err, ERROR_UNAVAILABLE, "kafka_unreachable",
                         "Kafka at %s can't be reached (%s); check kafka.bootstrap.servers and that the broker runs",
                         bootstrap, rd_kafka_err2str(rc));
    }
    rc = metadata->topic_cnt > 0 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    *ret_partitions = rc == RD_KAFKA_RESP_ERR_NO_ERROR ? metadata->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(metadata);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    if (rc == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return error_set(err, ERROR_UNAVAILABLE, "topic_forbidden", "Kafka at %s: our user may not use the topic %s; grant it what docs/jobs.md, Rights, names", bootstrap,
                         name);
    return error_set(err, ERROR_UNAVAILABLE, "topic_missing",
                     "Kafka at %s: topic %s: %s; create it, or set worker.jobs_topic, replies_topic, dead_topic", bootstrap,
                     name, rd_kafka_err2str(rc));
}

enum status kafka_probe(const struct settings *settings, const char *bootstrap, int timeout_ms, int *ret_partitions, struct error *err)
{
    rd_kafka_conf_t *conf = NULL;
    char why[256];
    seen_error = 0;
    if (kafka_conf_make(settings, bootstrap, RD_KAFKA_CONSUMER, &conf, err) != STATUS_OK)
        return STATUS_FAILED;
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set(conf, "allow.auto.create.topics", "false", NULL, 0);
    rd_kafka_conf_set(conf, "group.id", NULL, NULL, 0); /* no coordinator: see kafka_let_coordinator_go */
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(err, ERROR_PERMANENT, "kafka_conf", "kafka: %s", why);
    }
    const char *topics[] = {settings->worker.jobs_topic, settings->worker.replies_topic, settings->worker.dead_topic};
    int partitions[3];
    enum status status = STATUS_OK;
    for (size_t i = 0; i < 3 && status == STATUS_OK; i++)
        status = topic_there(rk, topics[i], bootstrap, timeout_ms, &partitions[i], err);
    if (status == STATUS_OK && ret_partitions != NULL)
        *ret_partitions = partitions[0];
    rd_kafka_destroy(rk);
    return status;
}
