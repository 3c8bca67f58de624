#include "service/preflight.h"

#include <string.h>

#include "completion/record_producer.h"
#include "kafka/kafka_conf.h"
#include "llm/http_targets.h"
#include "redis/redis_pool.h"
#include "service/admin_server.h"
#include "service/startup.h"
#include "telemetry/crash_notes.h"
#include "tls/tls_trust.h"
#include "wire/embedded_address.h"

static enum status check_kafka(const struct settings *settings, struct error *err)
{
    rd_kafka_conf_t *conf = NULL;
    if (strcmp(settings->kafka.bootstrap_servers, "embedded") == 0 && embedded_address_check(err) != STATUS_OK)
        return STATUS_FAILED;
    if (kafka_conf_make(settings, KAFKA_NOBODY, RD_KAFKA_CONSUMER, &conf, err) != STATUS_OK || kafka_conf_try(conf, RD_KAFKA_CONSUMER, err) != STATUS_OK)
        return STATUS_FAILED;
    return record_producer_check(settings, err);
}

static enum status check_redis(const struct settings *settings, struct error *err)
{
    struct redis_pool *redis = NULL;
    struct tls_trust *trust = NULL;
    if (strncmp(settings->redis.url, "rediss://", 9) == 0 && tls_trust_create(NULL, &trust, err) != STATUS_OK)
        return STATUS_FAILED;
    tls_trust_destroy(trust);
    enum status status = redis_pool_create(settings->redis.url, 1, settings->redis.timeout_ms, &redis, err);
    redis_pool_destroy(redis);
    return status;
}

enum status preflight_check(const struct settings *settings, struct error *err)
{
    if (crash_notes_check(settings->worker.crash_file, err) != STATUS_OK || startup_raise_file_limit(settings, err) != STATUS_OK ||
        check_redis(settings, err) != STATUS_OK || http_targets_check(settings, err) != STATUS_OK || check_kafka(settings, err) != STATUS_OK)
        return STATUS_FAILED;
    return admin_server_check(settings->admin.listen, settings->admin.port_file, err);
}
