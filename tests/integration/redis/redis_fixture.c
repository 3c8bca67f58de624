#include "redis_fixture.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LIMIT_MS 30000

struct redis_fixture fixture;
static redisReply *last_reply;

/* The present server, and for failovers its replica. */
static struct server {
    pid_t pid; /* 0: not ours */
    char folder[64];
    char url[128];
    int port; /* for replication alone; 0: none */
    struct redis_pool *pool;
    struct redis_conn *admin;
} servers[2];
static int serving;

static void server_exec(const struct server *server)
{
    const char *named = getenv("CHAT_REDIS_SERVER");
    const char *program = named != NULL && *named ? named : "redis-server";
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no server behind */
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    if (chdir(server->folder) == 0)
        execlp(program, program, "--port", "0", "--bind", "127.0.0.1", "--unixsocket", "redis.sock", "--save", "",
               "--appendonly", "no", "--logfile", "redis.log", "--repl-diskless-sync-delay", "0", (char *)NULL);
    _exit(127);
}

static void server_start(struct server *server)
{
    strcpy(server->folder, "/tmp/chat-redis-XXXXXX");
    cr_assert(mkdtemp(server->folder), "mkdtemp");
    snprintf(server->url, sizeof server->url, "unix://%s/redis.sock", server->folder);
    server->pid = fork();
    if (server->pid == 0)
        server_exec(server);
    cr_assert(server->pid > 0);
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void server_connect(struct server *server)
{
    int64_t until_ms = clock_mono_ms() + LIMIT_MS;
    struct error err = {0};
    cr_assert(redis_pool_create(server->url, 8, LIMIT_MS, &server->pool, &err) == STATUS_OK, "%s", err.message);
    while (redis_pool_take(server->pool, &server->admin, &err) != STATUS_OK) {
        cr_assert(clock_mono_ms() < until_ms, "no Redis: %s", err.message);
        pause_briefly(); /* the socket doesn't exist yet */
    }
}

static void server_stop(struct server *server)
{
    if (server->pool == NULL)
        return;
    redis_pool_give(server->pool, &server->admin, false);
    redis_pool_destroy(server->pool);
    server->pool = NULL;
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    static const char *const files[] = {"redis.sock", "redis.log", "dump.rdb"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/%s", server->folder, files[i]);
        unlink(path);
    }
    rmdir(server->folder);
}

static void serve(int which)
{
    serving = which;
    snprintf(fixture.url, sizeof fixture.url, "%s", servers[which].url);
    fixture.pool = servers[which].pool;
    fixture.admin = servers[which].admin;
}

void fixture_start(void)
{
    signal(SIGPIPE, SIG_IGN);
    char token[33];
    session_store_token(token);
    snprintf(fixture.prefix, sizeof fixture.prefix, "test-%s", token);
    const char *url = getenv("CHAT_TEST_REDIS_URL");
    if (url && *url)
        snprintf(servers[0].url, sizeof servers[0].url, "%s", url);
    else
        server_start(&servers[0]);
    server_connect(&servers[0]);
    serve(0);
}

void fixture_stop(void)
{
    if (last_reply)
        freeReplyObject(last_reply);
    last_reply = NULL;
    server_stop(&servers[0]);
    server_stop(&servers[1]);
}

/* ---- the replica ---- */

static const redisReply *on(int which, const char *format, ...)
{
    int before = serving;
    va_list args;
    va_start(args, format);
    serve(which);
    if (last_reply)
        freeReplyObject(last_reply);
    last_reply = redisvCommand(fixture.admin->context, format, args);
    serve(before);
    va_end(args);
    cr_assert(last_reply, "%s: no answer", format);
    return last_reply;
}

/* A port that was free a moment ago; another one if it was taken meanwhile. */
static void listen_for_replicas(int which)
{
    for (int tries = 0; tries < 20 && servers[which].port == 0; tries++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && getsockname(fd, (struct sockaddr *)&address, &size) == 0);
        close(fd);
        int port = ntohs(address.sin_port);
        if (on(which, "CONFIG SET port %d", port)->type != REDIS_REPLY_ERROR)
            servers[which].port = port;
    }
    cr_assert(servers[which].port > 0, "no port for replication");
}

bool fixture_replica_start(void)
{
    if (servers[0].pid <= 0)
        return false;
    server_start(&servers[1]);
    server_connect(&servers[1]);
    listen_for_replicas(0);
    listen_for_replicas(1);
    return true;
}

void fixture_replica_follow(void)
{
    cr_assert(on(1 - serving, "REPLICAOF 127.0.0.1 %d", servers[serving].port)->type != REDIS_REPLY_ERROR);
}

void fixture_replica_cut(void)
{
    int64_t until_ms = clock_mono_ms() + LIMIT_MS;
    while (strstr(on(1 - serving, "INFO replication")->str, "master_link_status:up") == NULL) {
        cr_assert(clock_mono_ms() < until_ms, "the replica doesn't come up");
        pause_briefly();
    }
    fixture_do("SET %s:mark 1", fixture.prefix); /* WAIT counts its own connection's writes */
    cr_assert(fixture_int("WAIT 1 %d", LIMIT_MS) == 1, "the replica doesn't catch up");
    cr_assert(on(1 - serving, "REPLICAOF NO ONE")->type != REDIS_REPLY_ERROR);
}

void fixture_failover(void)
{
    serve(1 - serving);
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
    struct session_store_conf conf = {.key_prefix = fixture.prefix, .lease_ms = 3600000, .alive_ms = 10000, .reply_ttl_s = 3600, .history_bytes_max = 1 << 20,
                                      .session_ttl_s = 3600, .history_turns_max = 4, .applied_max = 8};
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
