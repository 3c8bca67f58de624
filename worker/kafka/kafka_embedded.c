#include "kafka/kafka_embedded.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "kafka/kafka_conf.h"
#include "wire/embedded_address.h"

#define PARTITIONS 12

struct kafka_embedded {
    rd_kafka_t *host; /* the client that runs the mock cluster */
    rd_kafka_mock_cluster_t *cluster;
};

enum status kafka_embedded_start(const struct settings *settings, struct kafka_embedded **ret, struct error *err)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    kafka_conf_log(conf);
    rd_kafka_t *host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (host == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(err, ERROR_FATAL, "kafka_embedded", "embedded Kafka: %s", why);
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(host, 1);
    const char *topics[] = {settings->worker.jobs_topic, settings->worker.replies_topic, settings->worker.dead_topic,
                            settings->worker.deltas_topic};
    for (size_t i = 0; cluster != NULL && i < sizeof topics / sizeof *topics; i++)
        rd_kafka_mock_topic_create(cluster, topics[i], PARTITIONS, 1);
    if (cluster != NULL && settings->worker.control_topic != NULL)
        rd_kafka_mock_topic_create(cluster, settings->worker.control_topic, 1, 1);
    if (cluster == NULL || embedded_address_publish(rd_kafka_mock_cluster_bootstraps(cluster), err) != STATUS_OK) {
        if (cluster != NULL)
            rd_kafka_mock_cluster_destroy(cluster);
        else
            (void)error_set(err, ERROR_FATAL, "kafka_embedded", "embedded Kafka: can't listen on loopback");
        rd_kafka_destroy(host);
        return STATUS_FAILED;
    }
    *ret = xcalloc(1, sizeof **ret);
    **ret = (struct kafka_embedded){.host = host, .cluster = cluster};
    return STATUS_OK;
}

const char *kafka_embedded_bootstrap(const struct kafka_embedded *embedded)
{
    return rd_kafka_mock_cluster_bootstraps(embedded->cluster);
}

void kafka_embedded_stop(struct kafka_embedded *embedded)
{
    if (embedded == NULL)
        return;
    embedded_address_withdraw();
    rd_kafka_mock_cluster_destroy(embedded->cluster);
    rd_kafka_destroy(embedded->host);
    free(embedded);
}
