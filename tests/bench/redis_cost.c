/* The cost of a Redis operation with a connection of its own, and with one of the worker's pool.
 *
 *   bench_redis_cost URL OPERATIONS
 *
 * An operation is one round trip of two commands (SET, GET), one after the other from one thread; both ways connect by
 * the worker's own code. Prints one JSON line: microseconds an operation. A benchmark's program: it stops at the first error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "redis/redis_connect.h"
#include "redis/redis_pool.h"

#define TIMEOUT_MS 5000
#define WARM_UP 50

static void die(const char *what, const char *why)
{
    fprintf(stderr, "redis_cost: %s: %s\n", what, why);
    exit(1);
}

static void read_one(redisContext *context)
{
    void *reply = NULL;
    if (redisGetReply(context, &reply) != REDIS_OK)
        die("reply", context->errstr);
    freeReplyObject(reply);
}

static void round_trip(redisContext *context)
{
    redisAppendCommand(context, "SET bench:cost value");
    redisAppendCommand(context, "GET bench:cost");
    read_one(context);
    read_one(context);
}

static void with_own_connection(const struct redis_url *url)
{
    struct error err;
    redisContext *context = NULL;
    if (redis_connect(url, TIMEOUT_MS, &context, &err) != STATUS_OK)
        die("connect", err.message);
    round_trip(context);
    redisFree(context);
}

static void with_pool(struct redis_pool *pool)
{
    struct error err;
    struct redis_conn *conn = NULL;
    if (redis_pool_take(pool, &conn, &err) != STATUS_OK)
        die("take", err.message);
    round_trip(conn->context);
    redis_pool_give(pool, &conn, false);
}

static double us_each(int64_t began_us, long operations)
{
    return (double)(clock_mono_us() - began_us) / (double)operations;
}

int main(int argc, char **argv)
{
    struct error err;
    struct redis_url url;
    struct redis_pool *pool = NULL;
    long operations = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (operations < 1) {
        fprintf(stderr, "usage: bench_redis_cost URL OPERATIONS\n");
        return 64;
    }
    if (redis_url_parse(argv[1], &url, &err) != STATUS_OK || redis_pool_create(argv[1], 16, TIMEOUT_MS, &pool, &err) != STATUS_OK)
        die("url", err.message);
    for (int i = 0; i < WARM_UP; i++) {
        with_own_connection(&url);
        with_pool(pool);
    }
    int64_t began_us = clock_mono_us();
    for (long i = 0; i < operations; i++)
        with_own_connection(&url);
    double own_us = us_each(began_us, operations);
    began_us = clock_mono_us();
    for (long i = 0; i < operations; i++)
        with_pool(pool);
    double pool_us = us_each(began_us, operations);
    printf("{\"operations\": %ld, \"own_us\": %.1f, \"pool_us\": %.1f}\n", operations, own_us, pool_us);
    redis_pool_destroy(pool);
    redis_url_finish(&url);
    return 0;
}
