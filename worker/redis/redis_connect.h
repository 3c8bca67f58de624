/* One new Redis connection, ready for commands: TCP, TLS or unix socket, AUTH, SELECT. */
#ifndef CHAT_REDIS_REDIS_CONNECT_H
#define CHAT_REDIS_REDIS_CONNECT_H

#include <hiredis/hiredis.h>
#include <stdint.h>

#include "base/error.h"
#include "redis/redis_url.h"

/* Does this build support url's protocol? FAILED: rediss:// without TLS in hiredis. */
enum status redis_connect_supported(const struct redis_url *url, struct error *err) MUST_CHECK;

/* Resolves and connects anew each time (a failover may have changed the name's address). Blocks up to timeout_ms for the
 * connection and for each answer, and as long as the resolver does. The caller frees *ret (redisFree).
 * FAILED: ERROR_UNAVAILABLE; ERROR_PERMANENT with code redis_auth for a refused user or password. */
enum status redis_connect(const struct redis_url *url, int64_t timeout_ms, redisContext **ret,
                          struct error *err) MUST_CHECK;

#endif
