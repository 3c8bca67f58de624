#include "service/redis_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "quota/budget.h"
#include "quota/permits.h"
#include "redis/redis_error.h"
#include "redis/redis_pool.h"
#include "redis/redis_script.h"
#include "redis/session_store.h"

#define KEEP_S 60 /* most keys expire then, should this process end in the middle */
#define VERSION_MIN_MAJOR 6
#define VERSION_MIN_MINOR 2

/* ---- the scripts, each by the functions that the jobs use ---- */

struct check {
    struct session_store_conf conf;
    char id[33]; /* random: session, jobs, provider and tenant of this check */
};

static enum status own_error(const struct error *own, struct error *err)
{
    if (own->class == ERROR_NONE)
        return STATUS_OK;
    *err = *own;
    return STATUS_FAILED;
}

static enum status unexpected(const char *script, struct error *err)
{
    return error_set(err, ERROR_PERMANENT, "redis_check", "Redis answers the script %s as no Redis or Valkey that we know does", script);
}

static enum status check_begin(struct redis_conn *conn, const struct check *check, struct claim *claim, enum begin_state expected, struct error *err)
{
    struct begin_op op = {.claim = *claim, .fingerprint = "check", .origin = "check", .crashes_max = 1};
    session_store_token(op.claim.token);
    if (session_store_begin(conn, &check->conf, &op, 1, err) != STATUS_OK)
        return STATUS_FAILED;
    *claim = op.claim;
    enum status status = own_error(&op.error, err);
    if (status == STATUS_OK && op.state != expected)
        status = unexpected("begin", err);
    begin_op_finish(&op);
    return status;
}

static enum status check_renew(struct redis_conn *conn, const struct check *check, const struct claim *claim, struct error *err)
{
    struct renew_op op = {.claim = *claim, .lease_ms = KEEP_S * 1000};
    if (session_store_renew(conn, &check->conf, &op, 1, err) != STATUS_OK || own_error(&op.error, err) != STATUS_OK)
        return STATUS_FAILED;
    return op.held ? STATUS_OK : unexpected("renew", err);
}

static enum status check_release(struct redis_conn *conn, const struct check *check, const struct claim *claim, struct error *err)
{
    struct release_op op = {.claim = *claim, .kind = RELEASE_RETRY};
    if (session_store_release(conn, &check->conf, &op, 1, err) != STATUS_OK || own_error(&op.error, err) != STATUS_OK)
        return STATUS_FAILED;
    return op.held && op.fails == 1 ? STATUS_OK : unexpected("release", err);
}

static enum status check_finish(struct redis_conn *conn, const struct check *check, const struct claim *claim, struct error *err)
{
    struct finish_op op = {.claim = *claim, .end_state = END_OK, .fingerprint = "check", .origin = "check", .reply = "{}", .turn = "{}"};
    if (session_store_finish(conn, &check->conf, &op, 1, NULL, 0, err) != STATUS_OK || own_error(&op.error, err) != STATUS_OK)
        return STATUS_FAILED;
    return op.state == FINISH_DONE ? STATUS_OK : unexpected("finish", err);
}

static enum status check_cancel(struct redis_conn *conn, const struct check *check, struct error *err)
{
    struct cancel_op op = {.claim = {.session = check->id, .job_id = "cancelled"}, .fingerprint = "check", .origin = "check", .reply = "{}"};
    if (session_store_cancel(conn, &check->conf, &op, 1, err) != STATUS_OK)
        return STATUS_FAILED;
    enum status status = own_error(&op.error, err);
    if (status == STATUS_OK && op.state != CANCEL_ENDED)
        status = unexpected("cancel", err);
    cancel_op_finish(&op);
    return status;
}

/* One job's whole life, a cancel, a heartbeat: this runs every command of those scripts. */
static enum status check_store(struct redis_conn *conn, const struct check *check, struct error *err)
{
    struct claim claim = {.session = check->id, .job_id = "answered"};
    if (check_begin(conn, check, &claim, BEGIN_RUN, err) != STATUS_OK || check_renew(conn, check, &claim, err) != STATUS_OK ||
        check_release(conn, check, &claim, err) != STATUS_OK || check_begin(conn, check, &claim, BEGIN_RUN, err) != STATUS_OK ||
        check_finish(conn, check, &claim, err) != STATUS_OK || check_begin(conn, check, &claim, BEGIN_DONE, err) != STATUS_OK ||
        check_cancel(conn, check, err) != STATUS_OK)
        return STATUS_FAILED;
    return session_store_heartbeat(conn, &check->conf, err);
}

static enum status check_permits(struct redis_conn *conn, const struct check *check, struct error *err)
{
    static const struct permit_limits limits = {.requests_per_minute = 60, .tokens_per_minute = 6000, .burst_ms = 6000};
    struct permit_op take = {.provider = check->id, .limits = &limits, .tokens = 1};
    struct permit_settle_op settle = {.provider = check->id, .limits = &limits, .tokens_reserved = 1, .called = false};
    if (permits_take(conn, check->conf.key_prefix, &take, 1, err) != STATUS_OK || own_error(&take.error, err) != STATUS_OK)
        return STATUS_FAILED;
    if (!take.reserved)
        return unexpected("permit_take", err);
    if (permits_settle(conn, check->conf.key_prefix, &settle, 1, err) != STATUS_OK)
        return STATUS_FAILED;
    return own_error(&settle.error, err);
}

static enum status check_budget(struct redis_conn *conn, const struct check *check, struct error *err)
{
    struct budget_op take = {.tenant = check->id, .limit_tokens = 1, .tokens = 1, .now_wall_ms = clock_wall_ms()};
    if (budget_take(conn, check->conf.key_prefix, &take, 1, err) != STATUS_OK || own_error(&take.error, err) != STATUS_OK)
        return STATUS_FAILED;
    struct budget_settle_op settle = {.tenant = check->id, .day = take.day, .tokens_reserved = 1};
    if (budget_settle(conn, check->conf.key_prefix, &settle, 1, err) != STATUS_OK)
        return STATUS_FAILED;
    return own_error(&settle.error, err);
}

/* ---- commands on their own: which one is it that is missing? ---- */

enum { KEY_HASH, KEY_LIST, KEY_SET, KEY_TEXT, KEYS };

/* All that the worker needs, as docs/redis.md lists it. An ACL judges a command alike inside a script and outside. */
static const struct {
    const char *name; /* as an ACL rule names it */
    const char *words[4]; /* until NULL; the first of the names is a key if key >= 0 */
    int key;
    const char *arguments[4];
} commands[] = {
    {"ping", {"PING"}, -1, {NULL}},
    {"evalsha", {"EVALSHA", "0000000000000000000000000000000000000000", "1"}, KEY_HASH, {NULL}},
    {"script|load", {"SCRIPT", "LOAD", "return 1"}, -1, {NULL}},
    {"time", {"TIME"}, -1, {NULL}},
    {"set", {"SET"}, KEY_TEXT, {"1", "PX", "60000"}},
    {"get", {"GET"}, KEY_TEXT, {NULL}},
    {"pttl", {"PTTL"}, KEY_TEXT, {NULL}},
    {"hset", {"HSET"}, KEY_HASH, {"a", "1"}},
    {"hmget", {"HMGET"}, KEY_HASH, {"a"}},
    {"hget", {"HGET"}, KEY_HASH, {"a"}},
    {"hincrby", {"HINCRBY"}, KEY_HASH, {"a", "1"}},
    {"hdel", {"HDEL"}, KEY_HASH, {"b"}},
    {"rpush", {"RPUSH"}, KEY_LIST, {"a"}},
    {"lrange", {"LRANGE"}, KEY_LIST, {"0", "0"}},
    {"ltrim", {"LTRIM"}, KEY_LIST, {"0", "0"}},
    {"sadd", {"SADD"}, KEY_SET, {"a"}},
    {"sismember", {"SISMEMBER"}, KEY_SET, {"a"}},
    {"scard", {"SCARD"}, KEY_SET, {NULL}},
    {"unlink", {"UNLINK"}, KEY_SET, {NULL}},
    {"expire", {"EXPIRE"}, KEY_LIST, {"1"}},
    {"pexpire", {"PEXPIRE"}, KEY_HASH, {"1"}},
    {"del", {"DEL"}, KEY_SET, {NULL}},
};

/* Only the errors in note_missing count against the command, not an outage, say. NULL: the connection failed. */
static redisReply *try_command(struct redis_conn *conn, size_t which, char *const keys[KEYS])
{
    const char *argv[8];
    int argc = 0;
    for (size_t i = 0; i < 4 && commands[which].words[i] != NULL; i++)
        argv[argc++] = commands[which].words[i];
    if (commands[which].key >= 0)
        argv[argc++] = keys[commands[which].key];
    for (size_t i = 0; i < 4 && argc < 8 && commands[which].arguments[i] != NULL; i++)
        argv[argc++] = commands[which].arguments[i];
    return redisCommandArgv(conn->context, argc, argv, NULL);
}

/* What is missing, as text; the buffers hold all of the commands. */
struct missing {
    char rules[384];   /* of an ACL */
    char unknown[256]; /* commands that the server doesn't have */
    bool keys;
};

static void add(char *to, size_t size, const char *before, const char *name)
{
    size_t used = strlen(to);
    snprintf(to + used, size - used, "%s%s", before, name);
}

static void note_missing(struct missing *missing, const char *name, const char *text)
{
    if (strcasestr(text, "unknown command") != NULL || strcasestr(text, "unknown subcommand") != NULL)
        add(missing->unknown, sizeof missing->unknown, missing->unknown[0] ? ", " : "", name);
    else if (strncmp(text, "NOPERM", 6) == 0 && strstr(text, " key") != NULL)
        missing->keys = true;
    else if (strncmp(text, "NOPERM", 6) == 0)
        add(missing->rules, sizeof missing->rules, " +", name);
}

/* Where the user may not delete the key, it expires. Frees the string. */
static void remove_key(struct redis_conn *conn, char *key)
{
    redisReply *reply = conn->context->err ? NULL : redisCommand(conn->context, "DEL %s", key);
    bool refused = reply != NULL && reply->type == REDIS_REPLY_ERROR;
    if (reply != NULL)
        freeReplyObject(reply);
    reply = refused ? redisCommand(conn->context, "EXPIRE %s %d", key, KEEP_S) : NULL;
    if (reply != NULL)
        freeReplyObject(reply);
    free(key);
}

static void find_missing(struct redis_conn *conn, const struct check *check, struct missing *ret)
{
    static const char *const kinds[KEYS] = {"hash", "list", "set", "text"};
    char *keys[KEYS];
    for (size_t i = 0; i < KEYS; i++)
        keys[i] = xasprintf("%s:{%s}:%s", check->conf.key_prefix, check->id, kinds[i]);
    *ret = (struct missing){0};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        redisReply *reply = try_command(conn, i, keys);
        if (reply == NULL)
            break;
        if (reply->type == REDIS_REPLY_ERROR)
            note_missing(ret, commands[i].name, reply->str);
        freeReplyObject(reply);
    }
    for (size_t i = 0; i < KEYS; i++)
        remove_key(conn, keys[i]);
}

/* Best effort: an ACL may forbid INFO. */
static bool read_version(struct redis_conn *conn, int *ret_major, int *ret_minor)
{
    redisReply *reply = redisCommand(conn->context, "INFO server");
    const char *at = reply != NULL && reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "redis_version:") : NULL;
    bool found = at != NULL && sscanf(at, "redis_version:%d.%d", ret_major, ret_minor) == 2;
    if (reply != NULL)
        freeReplyObject(reply);
    return found;
}

static bool is_old(int major, int minor)
{
    return major < VERSION_MIN_MAJOR || (major == VERSION_MIN_MAJOR && minor < VERSION_MIN_MINOR);
}

/* From a refused script to the missing rights and commands; also finds those that no script happened to use. *err is set if scripts failed. */
static enum status name_missing(struct redis_pool *pool, const struct check *check, bool failed, struct error *err)
{
    const char *address = redis_pool_address(pool), *user = redis_pool_user(pool);
    struct missing missing;
    struct redis_conn *conn;
    struct error away;
    int major = VERSION_MIN_MAJOR, minor = VERSION_MIN_MINOR;
    if (redis_pool_take(pool, &conn, &away) != STATUS_OK) {
        *err = away;
        return STATUS_FAILED;
    }
    find_missing(conn, check, &missing);
    bool old = read_version(conn, &major, &minor) && is_old(major, minor);
    redis_pool_give(pool, &conn, true);
    if (failed && missing.rules[0] == '\0' && strstr(err->message, " access ") != NULL) /* a kind of keys that wasn't tried */
        missing.keys = true;
    if (failed && old)
        return error_set(err, ERROR_PERMANENT, "redis_version", "Redis %s is version %d.%d; the worker needs Redis %d.%d or newer, or Valkey", address, major, minor,
                         VERSION_MIN_MAJOR, VERSION_MIN_MINOR);
    if (missing.unknown[0] != '\0')
        return error_set(err, ERROR_PERMANENT, "redis_command", "Redis %s doesn't know %s: renamed or disabled there (rename-command), or not served by a proxy; the worker needs it",
                         address, missing.unknown);
    if (missing.rules[0] != '\0' || missing.keys)
        return error_set(err, ERROR_PERMANENT, "redis_rights", "redis.url: its user lacks rights; grant them: ACL SETUSER %s%s%s%s%s (Redis %s)", user,
                         missing.keys ? " ~" : "", missing.keys ? check->conf.key_prefix : "", missing.keys ? ":*" : "", missing.rules, address);
    if (old)
        log_warn("redis_is_old", F_INT("major", major), F_INT("minor", minor), F_STR("hint", "the worker is tested with Redis 6.2 and newer"));
    if (!failed)
        return STATUS_OK;
    err->class = ERROR_PERMANENT;
    return STATUS_FAILED;
}

/* ---- the whole ---- */

/* Whatever the check found; on a connection of its own, since the check's may be broken. */
static void clean_up(struct redis_pool *pool, const struct check *check)
{
    static const struct {
        const char *before, *after;
    } kinds[] = {{":{", "}:job:answered"}, {":{", "}:job:cancelled"}, {":{", "}:history"},          {":{", "}:applied"},
                 {":{", "}:applied2"},     {":alive:", ""},           {":permit:{", "}:requests"}, {":permit:{", "}:tokens"}};
    const char *prefix = check->conf.key_prefix;
    int64_t today = clock_wall_ms() / 86400000;
    struct redis_conn *conn;
    struct error ignored;
    if (redis_pool_take(pool, &conn, &ignored) != STATUS_OK)
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        remove_key(conn, xasprintf("%s%s%s%s", prefix, kinds[i].before, check->id, kinds[i].after));
    for (int64_t day = today - 1; day <= today + 1; day++) {
        char name[BUDGET_DAY_SIZE];
        budget_day_name(day, name);
        remove_key(conn, xasprintf("%s:budget:{%s}:%s", prefix, check->id, name));
    }
    redis_pool_give(pool, &conn, false);
}

static enum status run_scripts(struct redis_pool *pool, const struct check *check, struct error *err)
{
    struct redis_conn *conn;
    if (redis_pool_take(pool, &conn, err) != STATUS_OK)
        return STATUS_FAILED;
    enum status status = check_store(conn, check, err);
    if (status == STATUS_OK)
        status = check_permits(conn, check, err);
    if (status == STATUS_OK)
        status = check_budget(conn, check, err);
    redis_pool_give(pool, &conn, status != STATUS_OK);
    return status;
}

enum status redis_check(struct redis_pool *pool, const char *key_prefix, struct error *err)
{
    struct check check = {.conf = {.key_prefix = key_prefix, .lease_ms = KEEP_S * 1000, .alive_ms = 10000, .reply_ttl_s = KEEP_S, .session_ttl_s = KEEP_S, .history_turns_max = 1, .applied_max = 1}};
    char policy[64] = "";
    session_store_token(check.id);
    memcpy(check.conf.self.id, check.id, sizeof check.id);
    enum status status = redis_pool_probe(pool, policy, sizeof policy, err);
    if (status == STATUS_OK && policy[0] != '\0' && strcmp(policy, "noeviction") != 0)
        log_warn("redis_may_evict", F_STR("maxmemory_policy", policy),
                 F_STR("hint", "an evicted claim or reply is paid for twice; set maxmemory-policy noeviction"));
    if (status == STATUS_OK) {
        status = run_scripts(pool, &check, err);
        clean_up(pool, &check);
    }
    bool failed = status != STATUS_OK;
    if (failed && err->kind != REDIS_ERROR_SETTINGS)
        return STATUS_FAILED;
    return name_missing(pool, &check, failed, err);
}
