#include "redis_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LIMIT_MS 5000

struct redis_fixture fixture;
static pid_t server;
static char folder[64];
static redisReply *last_reply;

static void server_exec(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no server behind */
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    if (chdir(folder) == 0)
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "",
               "--appendonly", "no", "--logfile", "redis.log", (char *)NULL);
    _exit(127);
}

static void server_start(void)
{
    strcpy(folder, "/tmp/chat-redis-XXXXXX");
    cr_assert(mkdtemp(folder), "mkdtemp");
    snprintf(fixture.url, sizeof fixture.url, "unix://%s/redis.sock", folder);
    server = fork();
    if (server == 0)
        server_exec();
    cr_assert(server > 0);
}

static struct redis_conn *take_within_limit(void)
{
    int64_t until_ms = clock_mono_ms() + LIMIT_MS;
    struct redis_conn *conn = NULL;
    struct error err = {0};
    while (redis_pool_take(fixture.pool, &conn, &err) != STATUS_OK) {
        cr_assert(clock_mono_ms() < until_ms, "no Redis: %s", err.message);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* the socket isn't there yet */
    }
    return conn;
}

void fixture_start(void)
{
    signal(SIGPIPE, SIG_IGN);
    char token[33];
    session_store_token(token);
    snprintf(fixture.prefix, sizeof fixture.prefix, "test-%s", token);
    const char *url = getenv("CHAT_TEST_REDIS_URL");
    if (url && *url)
        snprintf(fixture.url, sizeof fixture.url, "%s", url);
    else
        server_start();
    struct error err = {0};
    cr_assert(redis_pool_create(fixture.url, 8, LIMIT_MS, &fixture.pool, &err) == STATUS_OK, "%s", err.message);
    fixture.admin = take_within_limit();
}

void fixture_stop(void)
{
    if (last_reply)
        freeReplyObject(last_reply);
    last_reply = NULL;
    redis_pool_give(fixture.pool, &fixture.admin, false);
    redis_pool_destroy(fixture.pool);
    if (server <= 0)
        return;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    static const char *const files[] = {"redis.sock", "redis.log"};
    for (size_t i = 0; i < 2; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

struct redis_conn *fixture_take(void)
{
    struct redis_conn *conn;
    struct error err = {0};
    cr_assert(redis_pool_take(fixture.pool, &conn, &err) == STATUS_OK, "%s", err.message);
    return conn;
}

void fixture_give(struct redis_conn *conn)
{
    redis_pool_give(fixture.pool, &conn, false);
}

struct session_store_conf fixture_conf(const char *incarnation, const char *instance, int64_t started_ms)
{
    struct session_store_conf conf = {.key_prefix = fixture.prefix, .lease_ms = 3600000, .reply_ttl_s = 3600,
                                      .session_ttl_s = 3600, .history_turns_max = 4};
    snprintf(conf.self.id, sizeof conf.self.id, "%s", incarnation);
    conf.self.instance = instance;
    conf.self.started_ms = started_ms;
    return conf;
}

static const redisReply *command(const char *format, va_list args)
{
    if (last_reply)
        freeReplyObject(last_reply);
    last_reply = redisvCommand(fixture.admin->context, format, args);
    cr_assert(last_reply, "%s: %s", format, fixture.admin->context->errstr);
    cr_assert(last_reply->type != REDIS_REPLY_ERROR, "%s: %s", format, last_reply->str);
    return last_reply;
}

const redisReply *fixture_do(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const redisReply *reply = command(format, args);
    va_end(args);
    return reply;
}

int64_t fixture_int(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const redisReply *reply = command(format, args);
    va_end(args);
    cr_assert(reply->type == REDIS_REPLY_INTEGER, "%s", format);
    return reply->integer;
}

void fixture_kill(struct redis_conn *conn)
{
    redisReply *reply = redisCommand(conn->context, "CLIENT ID");
    cr_assert(reply && reply->type == REDIS_REPLY_INTEGER);
    cr_assert(fixture_int("CLIENT KILL ID %lld", reply->integer) == 1);
    freeReplyObject(reply);
}

static int64_t redis_now_ms(void)
{
    const redisReply *reply = fixture_do("TIME");
    return strtoll(reply->element[0]->str, NULL, 10) * 1000 + strtoll(reply->element[1]->str, NULL, 10) / 1000;
}

void fixture_wait_redis_ms(int64_t ms)
{
    int64_t limit_ms = clock_mono_ms() + LIMIT_MS;
    int64_t until_ms = redis_now_ms() + ms;
    while (redis_now_ms() <= until_ms)
        cr_assert(clock_mono_ms() < limit_ms, "Redis' clock stands still");
}
