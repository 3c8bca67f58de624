#include "service/startup.h"

#include <malloc.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mutex.h"
#include "kafka/kafka_probe.h"
#include "service/admin_server.h"
#include "service/redis_check.h"

#define ARENA_ROOM_BYTES (8 * 1024 * 1024)
#define KAFKA_PROBE_MS 5000
#define BACKOFF_MS_MIN 500
#define BACKOFF_MS_MAX 10000
#define FILES_PER_MULTI 2  /* the two ends of libcurl's wake-up */
#define FILES_PER_LOOP 2   /* epoll's, and the inbox's */
#define FILES_BESIDE 192   /* Kafka's connections and wake-ups, files, what libraries open for a moment */

static enum status first_heartbeat(struct redis_pool *redis, const struct session_store_conf *self, struct error *err)
{
    struct redis_conn *conn = NULL;
    if (redis_pool_take(redis, &conn, err) != STATUS_OK)
        return STATUS_FAILED;
    enum status status = session_store_heartbeat(conn, self, err);
    redis_pool_give(redis, &conn, status != STATUS_OK);
    return status;
}

static enum status check_once(const struct settings *settings, const char *bootstrap, struct redis_pool *redis,
                              const struct session_store_conf *self, int *ret_partitions, struct error *err)
{
    if (redis_check(redis, settings->redis.key_prefix, err) != STATUS_OK)
        return STATUS_FAILED;
    if (kafka_probe(settings, bootstrap, KAFKA_PROBE_MS, ret_partitions, err) != STATUS_OK)
        return STATUS_FAILED;
    return self != NULL ? first_heartbeat(redis, self, err) : STATUS_OK;
}

/* Waits in short steps and calls give_up between them, so that a signal ends the wait. */
static bool wait_unless(bool (*give_up)(void), int64_t wait_ms)
{
    struct mutex lock;
    struct cond never;
    bool given_up = false;
    mutex_init(&lock);
    cond_init(&never);
    for (int64_t until = clock_mono_ms() + wait_ms, now; !given_up && (now = clock_mono_ms()) < until;) {
        mutex_lock(&lock);
        cond_wait_until(&never, &lock, now + 50 < until ? now + 50 : until);
        mutex_unlock(&lock);
        given_up = give_up();
    }
    cond_destroy(&never);
    mutex_destroy(&lock);
    return given_up;
}

enum status startup_check(const struct settings *settings, const char *bootstrap, struct redis_pool *redis,
                          const struct session_store_conf *self, bool (*give_up)(void), int *ret_partitions, struct error *err)
{
    int64_t until = clock_mono_ms() + settings->worker.startup_wait_ms;
    for (int64_t backoff = BACKOFF_MS_MIN;; backoff = backoff * 2 < BACKOFF_MS_MAX ? backoff * 2 : BACKOFF_MS_MAX) {
        if (check_once(settings, bootstrap, redis, self, ret_partitions, err) == STATUS_OK)
            return STATUS_OK;
        int64_t left = until - clock_mono_ms();
        if (err->class != ERROR_UNAVAILABLE || left <= 0)
            return STATUS_FAILED;
        log_warn("startup_waits", F_STR("code", err->code), F_STR("error", err->message), F_INT("left_ms", left));
        if (wait_unless(give_up, backoff < left ? backoff : left))
            return error_set(err, ERROR_CANCELLED, "stopped", "stopped while waiting to start");
    }
}

/* For waiting: a thread has a multi handle of its own, those of each loop have room for calls_per_shard jobs each, one of them perhaps for less. */
static int64_t files_to_wait(const struct settings *settings)
{
    if (settings->worker.engine == ENGINE_THREADS)
        return settings->worker.threads * FILES_PER_MULTI;
    int64_t loops = settings->worker.loops, shards = settings->worker.in_flight / settings->worker.calls_per_shard + loops;
    return shards * FILES_PER_MULTI + loops * FILES_PER_LOOP;
}

/* connections: of each job. */
static rlim_t files_needed(const struct settings *settings, size_t connections)
{
    return (rlim_t)settings_jobs_at_once(settings) * connections + (rlim_t)files_to_wait(settings) + (rlim_t)settings->redis.pool_size + ADMIN_CONNECTIONS_MAX +
           FILES_BESIDE;
}

enum status startup_raise_file_limit(const struct settings *settings, struct error *err)
{
    struct rlimit limit;
    rlim_t needed = files_needed(settings, 1), most = files_needed(settings, settings->provider_count + settings->fetched_count);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return STATUS_OK;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < needed)
        return error_set(err, ERROR_PERMANENT, "file_limit",
                         "worker.%s: %lld jobs at once need %llu open files, the limit is %llu; raise ulimit -n (LimitNOFILE) or lower it",
                         settings->worker.engine == ENGINE_LOOP ? "in_flight" : "threads", (long long)settings_jobs_at_once(settings), (unsigned long long)needed, (unsigned long long)limit.rlim_cur);
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < most)
        log_warn("file_limit", F_INT("limit", limit.rlim_cur), F_INT("at_most_needed", most),
                 F_STR("hint", "a job may keep a connection to each provider and context source: raise ulimit -n (LimitNOFILE)"));
    return STATUS_OK;
}

void startup_tune_malloc(void)
{
    mallopt(M_TOP_PAD, ARENA_ROOM_BYTES);
}
