/* The cost of a Redis operation in five ways.
 *
 *   bench_redis_cost URL OPERATIONS
 *
 * An operation is two commands (SET, GET):
 *   own      one thread, a connection for each operation
 *   pool     one thread, one of the worker's pool's
 *   threads  TOGETHER threads, each with one of the pool's
 *   async    TOGETHER under way on one connection of hiredis' asynchronous form, one event loop
 *   batch    one thread, TOGETHER operations as one pipeline: what the worker does (worker.redis_io = batched)
 * Prints one JSON line: of each microseconds an operation, and of CPU (user and system, this process's). A benchmark's program: it stops at the first error. */
#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "redis/redis_connect.h"
#include "redis/redis_pool.h"

#define TIMEOUT_MS 5000
#define WARM_UP 50
#define TOGETHER 64

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

static void round_trips(redisContext *context, int count)
{
    for (int i = 0; i < count; i++) {
        redisAppendCommand(context, "SET bench:cost value");
        redisAppendCommand(context, "GET bench:cost");
    }
    for (int i = 0; i < 2 * count; i++)
        read_one(context);
}

static void with_own_connection(const struct redis_url *url)
{
    struct error err;
    redisContext *context = NULL;
    if (redis_connect(url, TIMEOUT_MS, &context, &err) != STATUS_OK)
        die("connect", err.message);
    round_trips(context, 1);
    redisFree(context);
}

static void with_pool(struct redis_pool *pool, int count)
{
    struct error err;
    struct redis_conn *conn = NULL;
    if (redis_pool_take(pool, &conn, &err) != STATUS_OK)
        die("take", err.message);
    round_trips(conn->context, count);
    redis_pool_give(pool, &conn, false);
}

/* ---- the ways ---- */

struct run {
    const struct redis_url *url;
    struct redis_pool *pool;
    long operations;
    atomic_long taken; /* threads */
    struct event_base *base; /* async, with the next two */
    redisAsyncContext *async;
    long begun, ended;
};

static void own(struct run *run)
{
    for (long i = 0; i < run->operations; i++)
        with_own_connection(run->url);
}

static void pooled(struct run *run)
{
    for (long i = 0; i < run->operations; i++)
        with_pool(run->pool, 1);
}

static void *thread_main(void *arg)
{
    struct run *run = arg;
    while (atomic_fetch_add(&run->taken, 1) < run->operations)
        with_pool(run->pool, 1);
    return NULL;
}

static void threads(struct run *run)
{
    pthread_t each[TOGETHER];
    for (int i = 0; i < TOGETHER; i++)
        if (pthread_create(&each[i], NULL, thread_main, run) != 0)
            die("threads", "can't be started");
    for (int i = 0; i < TOGETHER; i++)
        pthread_join(each[i], NULL);
}

static void begin_one(struct run *run);

static void ended(redisAsyncContext *async, void *reply, void *arg)
{
    struct run *run = arg;
    if (reply == NULL)
        die("async", async->errstr);
    run->ended++;
    begin_one(run);
    if (run->ended == run->operations)
        event_base_loopbreak(run->base);
}

static void begin_one(struct run *run)
{
    if (run->begun == run->operations)
        return;
    run->begun++;
    redisAsyncCommand(run->async, NULL, NULL, "SET bench:cost value");
    redisAsyncCommand(run->async, ended, run, "GET bench:cost");
}

static void async(struct run *run)
{
    run->base = event_base_new();
    run->async = run->url->host != NULL ? redisAsyncConnect(run->url->host, run->url->port) : redisAsyncConnectUnix(run->url->path);
    if (run->base == NULL || run->async == NULL || run->async->err != 0)
        die("async", "can't connect");
    redisLibeventAttach(run->async, run->base);
    for (int i = 0; i < TOGETHER; i++)
        begin_one(run);
    event_base_dispatch(run->base);
    redisAsyncFree(run->async);
    event_base_free(run->base);
}

static void batch(struct run *run)
{
    for (long left = run->operations; left > 0; left -= TOGETHER)
        with_pool(run->pool, left < TOGETHER ? (int)left : TOGETHER);
}

static int64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*all)(struct run *run);
    } ways[] = {{"own", own}, {"pool", pooled}, {"threads", threads}, {"async", async}, {"batch", batch}};
    struct error err;
    struct redis_url url;
    struct redis_pool *pool = NULL;
    long operations = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (operations < 1) {
        fprintf(stderr, "usage: bench_redis_cost URL OPERATIONS\n");
        return 64;
    }
    if (redis_url_parse(argv[1], &url, &err) != STATUS_OK || redis_pool_create(argv[1], TOGETHER, TIMEOUT_MS, &pool, &err) != STATUS_OK)
        die("url", err.message);
    printf("{\"operations\": %ld", operations);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct run warm = {.url = &url, .pool = pool, .operations = WARM_UP}, run = {.url = &url, .pool = pool, .operations = operations};
        ways[i].all(&warm);
        int64_t began_us = clock_mono_us(), used_us = cpu_us();
        ways[i].all(&run);
        printf(", \"%s_us\": %.1f, \"%s_cpu_us\": %.1f", ways[i].name, (double)(clock_mono_us() - began_us) / (double)operations, ways[i].name,
               (double)(cpu_us() - used_us) / (double)operations);
    }
    printf("}\n");
    redis_pool_destroy(pool);
    redis_url_finish(&url);
    return 0;
}
