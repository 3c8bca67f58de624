/* An in-memory Kafka (librdkafka's mock cluster) and its clients, for unit tests. Failures to create them fail the test. The test's
 * thread; the cluster has one of its own. */
#ifndef CHAT_UNIT_MOCK_KAFKA_H
#define CHAT_UNIT_MOCK_KAFKA_H

#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

static inline void mock_kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    cr_assert_eq(rd_kafka_conf_set(conf, name, value, why, sizeof why), RD_KAFKA_CONF_OK, "%s", why);
}

/* Takes ownership of conf; the caller frees the client: rd_kafka_destroy. */
static inline rd_kafka_t *mock_kafka_client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char why[256];
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    cr_assert_not_null(client, "%s", why);
    return client;
}

/* A producer that hosts the cluster (rd_kafka_handle_mock_cluster). records: of one batch of what it produces; NULL: librdkafka's choice. */
static inline rd_kafka_t *mock_kafka_host(const char *brokers, const char *records)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    mock_kafka_set(conf, "test.mock.num.brokers", brokers);
    if (records != NULL)
        mock_kafka_set(conf, "batch.num.messages", records);
    return mock_kafka_client(RD_KAFKA_PRODUCER, conf);
}

/* The configuration of a consumer of that cluster; owned by the caller until mock_kafka_client takes it. */
static inline rd_kafka_conf_t *mock_kafka_group(rd_kafka_mock_cluster_t *cluster, const char *group)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    mock_kafka_set(conf, "group.id", group);
    mock_kafka_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster));
    return conf;
}

#endif
