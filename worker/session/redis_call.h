/* One Redis call for a job or a batch: on a connection from the pool, its result reported to Redis' breaker. */
#ifndef CHAT_SESSION_REDIS_CALL_H
#define CHAT_SESSION_REDIS_CALL_H

#include "task/service.h"

typedef enum status redis_call_on(struct redis_conn *conn, const struct service *service, void *arg, struct error *err);

/* Blocks up to redis.timeout_ms for a connection, and for what call does with it. FAILED: counted and logged; the caller
 * reports the failure to the breakers, for each job. */
enum status redis_call(const struct service *service, redis_call_on *call, void *arg, struct error *err) MUST_CHECK;

#endif
