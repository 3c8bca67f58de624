#include "intake/fetch_watch.h"

#include <stddef.h>

#define NAME "fetch-watch"
#define FETCH 1 /* https://kafka.apache.org/protocol#protocol_api_keys */

uint64_t fetch_watch_bit(int32_t broker_id)
{
    return UINT64_C(1) << ((uint32_t)broker_id % 64);
}

static rd_kafka_resp_err_t sent(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id, int16_t key, int16_t version,
                                int32_t correlation, size_t size, void *opaque)
{
    (void)rk, (void)fd, (void)broker, (void)version, (void)correlation, (void)size;
    struct fetch_watch *watch = opaque;
    if (key == FETCH) {
        atomic_fetch_or(&watch->asked, fetch_watch_bit(broker_id));
        atomic_fetch_or(&watch->known, fetch_watch_bit(broker_id));
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Also called for a request that failed with its connection. */
static rd_kafka_resp_err_t received(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id, int16_t key, int16_t version,
                                    int32_t correlation, size_t size, int64_t rtt, rd_kafka_resp_err_t err, void *opaque)
{
    (void)rk, (void)fd, (void)broker, (void)version, (void)correlation, (void)size, (void)rtt, (void)err;
    struct fetch_watch *watch = opaque;
    if (key == FETCH)
        atomic_fetch_and(&watch->asked, ~fetch_watch_bit(broker_id));
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t made(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *watch, char *why, size_t why_size)
{
    (void)conf, (void)why, (void)why_size;
    rd_kafka_interceptor_add_on_request_sent(rk, NAME, sent, watch);
    rd_kafka_interceptor_add_on_response_received(rk, NAME, received, watch);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void fetch_watch_install(rd_kafka_conf_t *conf, struct fetch_watch *watch)
{
    rd_kafka_conf_interceptor_add_on_new(conf, NAME, made, watch);
}

uint64_t fetch_watch_resting(const struct fetch_watch *watch)
{
    return atomic_load(&watch->known) & ~atomic_load(&watch->asked);
}
