#include "intake/join_watch.h"

#include <stdbool.h>
#include <stddef.h>

#define NAME "join-watch"
#define JOIN_GROUP 11 /* https://kafka.apache.org/protocol#protocol_api_keys */
#define SYNC_GROUP 14

static rd_kafka_resp_err_t sent(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id, int16_t key, int16_t version,
                                int32_t correlation, size_t size, void *joining)
{
    (void)rk, (void)fd, (void)broker, (void)broker_id, (void)version, (void)correlation, (void)size;
    if (key == JOIN_GROUP)
        atomic_store((atomic_bool *)joining, true);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* A failed join is retried until there is a SyncGroup response; one that was refused is followed by another JoinGroup. */
static rd_kafka_resp_err_t received(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id, int16_t key, int16_t version,
                                    int32_t correlation, size_t size, int64_t rtt, rd_kafka_resp_err_t err, void *joining)
{
    (void)rk, (void)fd, (void)broker, (void)broker_id, (void)version, (void)correlation, (void)size, (void)rtt, (void)err;
    if (key == SYNC_GROUP)
        atomic_store((atomic_bool *)joining, false);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t made(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *joining, char *why, size_t why_size)
{
    (void)conf, (void)why, (void)why_size;
    rd_kafka_interceptor_add_on_request_sent(rk, NAME, sent, joining);
    rd_kafka_interceptor_add_on_response_received(rk, NAME, received, joining);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void join_watch_install(rd_kafka_conf_t *conf, atomic_bool *joining)
{
    rd_kafka_conf_interceptor_add_on_new(conf, NAME, made, joining);
}
