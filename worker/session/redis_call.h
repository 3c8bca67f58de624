/* One Redis call of a job's, or of a batch: over a lent connection, with the breakers told how it went. */
#ifndef CHAT_SESSION_REDIS_CALL_H
#define CHAT_SESSION_REDIS_CALL_H

#include "task/service.h"

typedef enum status redis_call_on(struct redis_conn *conn, const struct service *service, void *arg, struct error *err);

/* Blocks up to redis.timeout_ms for a connection, and for what call does with it. FAILED: counted and logged; which job it
 * failed for is the caller's to tell the breakers. */
enum status redis_call(const struct service *service, redis_call_on *call, void *arg, struct error *err) MUST_CHECK;

#endif
