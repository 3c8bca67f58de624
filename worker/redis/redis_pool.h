/* A bounded pool of Redis connections: a Redis call takes microseconds, an LLM call seconds, so that 16
 * connections serve a thousand threads. hiredis, blocking. A connection is dropped after any error
 * (a late answer would be read as the next command's), and made anew with AUTH and SELECT. */
#ifndef CHAT_REDIS_REDIS_POOL_H
#define CHAT_REDIS_REDIS_POOL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct redis_pool;
struct redis_conn {
    redisContext *context;
    struct redis_pool *pool;
    struct redis_conn *next; /* idle list; the pool's */
    bool broken; /* unread answers may be under way: set by code that stops reading; redis_pool_give closes it then */
};

/* Parses url (redis://[user[:password]@]host[:port][/db], rediss://, unix://[user:password@]/path[?db=N]),
 * percent-decoded. Doesn't connect. FAILED: a malformed url, or rediss:// where hiredis has no TLS; the
 * message never contains the password. */
enum status redis_pool_create(const char *url, int size, int64_t timeout_ms, struct redis_pool **ret,
                              struct error *err) MUST_CHECK;
void redis_pool_destroy(struct redis_pool *pool); /* all connections back; NULL is fine */

/* Takes a connection from the pool, connecting if needed (blocks up to timeout_ms for each step). Waits for a free one at most
 * timeout_ms. FAILED: ERROR_UNAVAILABLE, or ERROR_PERMANENT with code redis_auth for a wrong password. */
enum status redis_pool_take(struct redis_pool *pool, struct redis_conn **ret, struct error *err) MUST_CHECK;
/* Returns it to the pool and nulls *conn; closes it if it is broken (by the argument, the connection's member or hiredis' own
 * error). */
void redis_pool_give(struct redis_pool *pool, struct redis_conn **conn, bool broken);

/* host:port or path, for messages. Borrowed. */
const char *redis_pool_address(const struct redis_pool *pool);

/* The time-out of an answer. */
int64_t redis_pool_timeout_ms(const struct redis_pool *pool);

/* The user in the server's ACL: redis.url's user, else "default". Borrowed. */
const char *redis_pool_user(const struct redis_pool *pool);

/* What a start-up check reads: PING, and maxmemory-policy (empty when CONFIG isn't allowed). */
enum status redis_pool_probe(struct redis_pool *pool, char *ret_policy, size_t policy_size, struct error *err) MUST_CHECK;

#endif
