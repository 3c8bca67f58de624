/* Connections: refused, full, killed, silent, read-only; and a late answer is never read as the next command's. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "redis_fixture.h"

TestSuite(redis_pool, .init = fixture_start, .fini = fixture_stop, .timeout = 60);

static struct error error;

static struct redis_pool *pool_with(const char *credentials, int size, int64_t timeout_ms)
{
    char url[256];
    const char *rest = strstr(fixture.url, "://") + 3;
    const char *at = strrchr(rest, '@');
    snprintf(url, sizeof url, "%.*s%s%s", (int)(rest - fixture.url), fixture.url, credentials, at ? at + 1 : rest);
    struct redis_pool *pool;
    cr_assert(redis_pool_create(url, size, timeout_ms, &pool, &error) == STATUS_OK, "%s", error.message);
    return pool;
}

static void begin_one(struct redis_conn *conn, enum status want)
{
    struct session_store_conf conf = fixture_conf("a", NULL, 1);
    char id[33];
    session_store_token(id); /* a new job each time: a busy one would be answered without a write */
    struct begin_op op = {.claim = {.job_id = id}, .fingerprint = "f", .origin = "o"};
    session_store_token(op.claim.token);
    cr_expect(session_store_begin(conn, &conf, &op, 1, &error) == want);
    if (want == STATUS_FAILED)
        cr_expect(error.class == ERROR_UNAVAILABLE && conn->broken, "%s", error.message);
    begin_op_finish(&op);
}

Test(redis_pool, a_wrong_password_is_named_and_not_shown)
{
    struct redis_pool *pool = pool_with("nobody:sesame@", 1, 5000);
    struct redis_conn *conn;
    cr_assert(redis_pool_take(pool, &conn, &error) == STATUS_FAILED);
    cr_expect(error.class == ERROR_PERMANENT);
    cr_expect_str_eq(error.code, "redis_auth");
    cr_expect(strstr(error.message, redis_pool_address(pool)) && strstr(error.message, "check user and password"));
    cr_expect(!strstr(error.message, "sesame"), "%s", error.message);
    redis_pool_destroy(pool); /* the slot was returned */
}

Test(redis_pool, a_user_signs_in)
{
    fixture_do("ACL SETUSER %s on >p@ss ~* &* +@all", fixture.prefix);
    char credentials[96];
    snprintf(credentials, sizeof credentials, "%s:p%%40ss@", fixture.prefix);
    struct redis_pool *pool = pool_with(credentials, 1, 5000);
    char policy[32];
    cr_expect(redis_pool_probe(pool, policy, sizeof policy, &error) == STATUS_OK, "%s", error.message);
    cr_expect_str_eq(policy, "noeviction");
    fixture_do("ACL SETUSER %s -config", fixture.prefix);
    cr_expect(redis_pool_probe(pool, policy, sizeof policy, &error) == STATUS_OK);
    cr_expect_str_eq(policy, "", "not allowed is not an error");
    fixture_do("ACL DELUSER %s", fixture.prefix);
    redis_pool_destroy(pool);
}

Test(redis_pool, nobody_there)
{
    struct redis_pool *pool;
    struct redis_conn *conn;
    cr_assert(redis_pool_create("unix:///nowhere/redis.sock", 1, 200, &pool, &error) == STATUS_OK);
    cr_expect(redis_pool_take(pool, &conn, &error) == STATUS_FAILED && error.class == ERROR_UNAVAILABLE);
    cr_expect(strstr(error.message, "/nowhere/redis.sock"), "%s", error.message);
    redis_pool_destroy(pool);
    redis_pool_destroy(NULL);
}

Test(redis_pool, all_lent)
{
    struct redis_pool *pool = pool_with("", 1, 20);
    struct redis_conn *conn, *other;
    cr_assert(redis_pool_take(pool, &conn, &error) == STATUS_OK, "%s", error.message);
    cr_expect(redis_pool_take(pool, &other, &error) == STATUS_FAILED);
    cr_expect_str_eq(error.code, "redis_pool_busy");
    redis_pool_give(pool, &conn, false);
    cr_expect(conn == NULL);
    cr_assert(redis_pool_take(pool, &conn, &error) == STATUS_OK);
    redis_pool_give(pool, &conn, false);
    redis_pool_destroy(pool);
}

Test(redis_pool, killed_while_idle_costs_nothing)
{
    struct redis_conn *conn = fixture_take();
    fixture_kill(conn);
    fixture_give(conn); /* returned as sound: the failure wasn't noticed */
    conn = fixture_take();
    begin_one(conn, STATUS_OK);
    fixture_give(conn);
}

Test(redis_pool, killed_midway_fails_and_is_made_anew)
{
    struct redis_conn *conn = fixture_take();
    fixture_kill(conn);
    begin_one(conn, STATUS_FAILED);
    fixture_give(conn);
    conn = fixture_take();
    begin_one(conn, STATUS_OK);
    fixture_give(conn);
}

/* Whether the answer comes before the connection is taken again, or after. */
Test(redis_pool, a_late_answer_meets_nobody)
{
    for (int before = 0; before < 2; before++) {
        struct redis_pool *pool = pool_with("", 1, 50);
        struct redis_conn *conn;
        cr_assert(redis_pool_take(pool, &conn, &error) == STATUS_OK);
        begin_one(conn, STATUS_OK); /* loads the script */
        fixture_do("CLIENT PAUSE 60000 WRITE"); /* scripts count as writes */
        begin_one(conn, STATUS_FAILED); /* timed out: its answer is still to come */
        redis_pool_give(pool, &conn, false); /* even if the giver forgot */
        if (before)
            fixture_do("CLIENT UNPAUSE");
        cr_assert(redis_pool_take(pool, &conn, &error) == STATUS_OK, "%s", error.message);
        cr_assert_eq(redisAppendCommand(conn->context, "ECHO mine"), REDIS_OK);
        int written = 0;
        cr_assert_eq(redisBufferWrite(conn->context, &written), REDIS_OK);
        if (!before)
            fixture_do("CLIENT UNPAUSE");
        void *got = NULL;
        cr_assert_eq(redisGetReply(conn->context, &got), REDIS_OK, "%s", conn->context->errstr);
        redisReply *reply = got;
        cr_assert(reply && reply->type == REDIS_REPLY_STRING);
        cr_expect_str_eq(reply->str, "mine");
        freeReplyObject(reply);
        redis_pool_give(pool, &conn, false);
        redis_pool_destroy(pool);
    }
}

Test(redis_pool, outages_are_no_job_failure)
{
    if (getenv("CHAT_TEST_REDIS_URL"))
        cr_skip_test("changes the whole server");
    struct redis_conn *conn = fixture_take();
    fixture_do("CONFIG SET maxmemory 1");
    begin_one(conn, STATUS_FAILED);
    cr_expect(strstr(error.message, "OOM"), "%s", error.message);
    fixture_do("CONFIG SET maxmemory 0");
    fixture_give(conn);
    conn = fixture_take();
    begin_one(conn, STATUS_OK);
    fixture_do("REPLICAOF 127.0.0.1 1"); /* its primary is never reachable: READONLY */
    begin_one(conn, STATUS_FAILED);
    cr_expect(strstr(error.message, "READONLY"), "%s", error.message);
    fixture_do("REPLICAOF NO ONE");
    fixture_give(conn);
    fixture_do("CONFIG SET requirepass sesame");
    struct redis_pool *pool = pool_with("", 1, 5000);
    char policy[32];
    cr_expect(redis_pool_probe(pool, policy, sizeof policy, &error) == STATUS_FAILED);
    cr_expect_str_eq(error.code, "redis_auth");
    cr_expect(strstr(error.message, "wants a password"), "%s", error.message);
    cr_assert(redis_pool_take(pool, &conn, &error) == STATUS_OK);
    begin_one(conn, STATUS_FAILED);
    cr_expect(strstr(error.message, "has no password"), "%s", error.message);
    redis_pool_give(pool, &conn, false);
    redis_pool_destroy(pool);
}
