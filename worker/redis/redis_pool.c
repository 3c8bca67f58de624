#include "redis/redis_pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "redis/redis_connect.h"
#include "redis/redis_error.h"
#include "redis/redis_silence.h"

struct redis_pool {
    struct redis_url url; /* read-only */
    int64_t timeout_ms;   /* read-only */
    struct mutex lock;
    struct cond returned;
    struct redis_conn *idle; /* by lock: last in, first out, so that recent ones are used and the rest age out */
    int free_slots;          /* by lock: connections that may be taken, idle or yet to be made */
    int size;
};

enum status redis_pool_create(const char *url_text, int size, int64_t timeout_ms, struct redis_pool **ret,
                              struct error *err)
{
    assert(size > 0 && timeout_ms > 0);
    struct redis_url url;
    if (redis_url_parse(url_text, &url, err) != STATUS_OK)
        return STATUS_FAILED;
    if (redis_connect_supported(&url, err) != STATUS_OK) {
        redis_url_finish(&url);
        return STATUS_FAILED;
    }
    struct redis_pool *pool = xcalloc(1, sizeof *pool);
    pool->url = url;
    pool->timeout_ms = timeout_ms;
    pool->free_slots = pool->size = size;
    mutex_init(&pool->lock);
    cond_init(&pool->returned);
    *ret = pool;
    return STATUS_OK;
}

static void conn_close(struct redis_conn *conn)
{
    redisFree(conn->context);
    free(conn);
}

void redis_pool_destroy(struct redis_pool *pool)
{
    if (!pool)
        return;
    assert(pool->free_slots == pool->size);
    while (pool->idle) {
        struct redis_conn *conn = pool->idle;
        pool->idle = conn->next;
        conn_close(conn);
    }
    cond_destroy(&pool->returned);
    mutex_destroy(&pool->lock);
    redis_url_finish(&pool->url);
    free(pool);
}

/* An idle connection expects no answer: if it is readable, it was closed, or has an answer for which no call waits. */
static bool went_stale(const struct redis_pool *pool, const struct redis_conn *conn)
{
    char byte;
    ssize_t got = recv(conn->context->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0)
        return !pool->url.tls; /* TLS has records of its own (session tickets) */
    return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* Waits for a slot; *ret is an idle connection or NULL: make one. */
static bool slot_take(struct redis_pool *pool, struct redis_conn **ret)
{
    int64_t until_ms = clock_mono_ms() + pool->timeout_ms;
    mutex_lock(&pool->lock);
    while (pool->free_slots == 0 && cond_wait_until(&pool->returned, &pool->lock, until_ms))
        ;
    bool got = pool->free_slots > 0;
    if (got) {
        pool->free_slots--;
        *ret = pool->idle;
        if (*ret)
            pool->idle = (*ret)->next;
    }
    mutex_unlock(&pool->lock);
    return got;
}

static void slot_return(struct redis_pool *pool, struct redis_conn *idle)
{
    mutex_lock(&pool->lock);
    if (idle) {
        idle->next = pool->idle;
        pool->idle = idle;
    }
    pool->free_slots++;
    cond_signal(&pool->returned);
    mutex_unlock(&pool->lock);
}

enum status redis_pool_take(struct redis_pool *pool, struct redis_conn **ret, struct error *err)
{
    struct redis_conn *conn = NULL;
    if (!slot_take(pool, &conn))
        return error_set(err, ERROR_UNAVAILABLE, "redis_pool_busy",
                         "no Redis connection became free in redis.timeout_ms (%lld ms): all %d are in use (redis.pool_size)",
                         (long long)pool->timeout_ms, pool->size);
    if (conn && went_stale(pool, conn)) {
        conn_close(conn);
        conn = NULL;
    }
    if (!conn) {
        redisContext *context;
        if (redis_connect(&pool->url, pool->timeout_ms, &context, err) != STATUS_OK) {
            slot_return(pool, NULL);
            return STATUS_FAILED;
        }
        conn = xcalloc(1, sizeof *conn);
        conn->context = context;
        conn->pool = pool;
    }
    conn->next = NULL;
    *ret = conn;
    return STATUS_OK;
}

void redis_pool_give(struct redis_pool *pool, struct redis_conn **conn, bool broken)
{
    struct redis_conn *mine = *conn;
    *conn = NULL;
    assert(mine->pool == pool);
    if (broken || mine->broken || mine->context->err) {
        conn_close(mine);
        mine = NULL;
    }
    slot_return(pool, mine);
}

const char *redis_pool_address(const struct redis_pool *pool)
{
    return pool->url.address;
}

int64_t redis_pool_timeout_ms(const struct redis_pool *pool)
{
    return pool->timeout_ms;
}

const char *redis_pool_user(const struct redis_pool *pool)
{
    return pool->url.user != NULL ? pool->url.user : "default";
}

static enum status ping(struct redis_conn *conn, struct error *err)
{
    const char *address = redis_pool_address(conn->pool);
    redisReply *reply = redisCommand(conn->context, "PING");
    if (!reply)
        return redis_wait_failed(&(struct redis_wait){.address = address, .what = "PING", .timeout_ms = conn->pool->timeout_ms}, conn->context, "redis_io", err);
    enum status status = STATUS_OK;
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOAUTH", 6) == 0)
        status = error_set(err, ERROR_PERMANENT, "redis_auth",
                           "Redis %s wants a password: set it in redis.url (redis://[user]:password@host)", address);
    else if (reply->type == REDIS_REPLY_ERROR)
        status = redis_error_set(err, address, NULL, reply->str);
    freeReplyObject(reply);
    return status;
}

/* Best effort: managed services often forbid CONFIG. */
static void policy_read(struct redis_conn *conn, char *ret_policy, size_t size)
{
    redisReply *reply = redisCommand(conn->context, "CONFIG GET maxmemory-policy");
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING && reply->element[1]->len < size)
        memcpy(ret_policy, reply->element[1]->str, reply->element[1]->len + 1);
    if (reply)
        freeReplyObject(reply);
}

enum status redis_pool_probe(struct redis_pool *pool, char *ret_policy, size_t policy_size, struct error *err)
{
    struct redis_conn *conn;
    if (policy_size)
        *ret_policy = '\0';
    if (redis_pool_take(pool, &conn, err) != STATUS_OK)
        return STATUS_FAILED;
    enum status status = ping(conn, err);
    if (status == STATUS_OK)
        policy_read(conn, ret_policy, policy_size);
    redis_pool_give(pool, &conn, status != STATUS_OK);
    return status;
}
