#include "session/redis_call.h"

#include "base/log.h"
#include "breakers/breakers.h"
#include "telemetry/metrics.h"

enum status redis_call(const struct service *service, redis_call_on *call, void *arg, struct error *err)
{
    struct redis_conn *conn = NULL;
    enum status status = redis_pool_take(service->redis, &conn, err);
    if (status == STATUS_OK) {
        status = call(conn, service, arg, err);
        redis_pool_give(service->redis, &conn, status != STATUS_OK);
    }
    if (status == STATUS_OK) {
        breakers_succeeded(service->breakers, DEPENDENCY_REDIS);
    } else {
        METRIC_INC(redis_failures_total);
        log_warn("redis_unavailable", F_STR("address", redis_pool_address(service->redis)), F_STR("code", err->code),
                 F_STR("error", err->message));
    }
    return status;
}
