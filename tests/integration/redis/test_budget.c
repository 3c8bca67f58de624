/* A tenant's tokens a day: what is reserved, settled, refused and counted, on which day, and by how many at once. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "quota/budget.h"
#include "redis_fixture.h"
#include "redis_scripts.h"
#include "script_at.h"

TestSuite(budget, .init = fixture_start, .fini = fixture_stop, .timeout = 60);

#define DAY_MS (86400 * INT64_C(1000))

static struct error error;
#define OK(call) cr_assert((call) == STATUS_OK, "%s: %s", #call, error.message)

static struct budget_op take(struct redis_conn *conn, int64_t limit, int64_t tokens)
{
    struct budget_op op = {.tenant = "t", .limit_tokens = limit, .tokens = tokens, .now_wall_ms = clock_wall_ms()};
    OK(budget_take(conn, fixture.prefix, &op, 1, &error));
    cr_assert(op.error.class == ERROR_NONE, "%s", op.error.message);
    return op;
}

static void settle(struct redis_conn *conn, int64_t day, int64_t reserved, int64_t used)
{
    struct budget_settle_op op = {.tenant = "t", .day = day, .tokens_reserved = reserved, .tokens_used = used};
    OK(budget_settle(conn, fixture.prefix, &op, 1, &error));
    cr_assert(op.error.class == ERROR_NONE, "%s", op.error.message);
}

static int64_t counted(int64_t day, const char *what)
{
    char name[BUDGET_DAY_SIZE];
    budget_day_name(day, name);
    const redisReply *reply = fixture_do("HGET %s:budget:{t}:%s %s", fixture.prefix, name, what);
    return reply->type == REDIS_REPLY_NIL ? -1 : strtoll(reply->str, NULL, 10);
}

/* The test's days end with Redis' day, which must not be during a test. */
static void stay_within_a_day(struct redis_conn *conn)
{
    struct budget_op op = {.tenant = "other", .now_wall_ms = clock_wall_ms()};
    OK(budget_take(conn, fixture.prefix, &op, 1, &error));
    if (op.day_left_ms < 3000)
        fixture_wait_redis_ms(op.day_left_ms);
}

Test(budget, holds_for_what_is_spent_and_what_is_reserved)
{
    struct redis_conn *conn = fixture_take();
    stay_within_a_day(conn);
    struct budget_op first = take(conn, 1000, 600);
    cr_assert(first.reserved && first.left_tokens == 400);
    cr_expect(first.day_left_ms > 0 && first.day_left_ms <= DAY_MS);
    struct budget_op refused = take(conn, 1000, 401);
    cr_assert(!refused.reserved && refused.left_tokens == 400 && refused.day == first.day, "and says what is left");
    cr_assert(take(conn, 1000, 400).reserved);
    settle(conn, first.day, 600, 100);
    cr_expect(counted(first.day, "spent") == 100 && counted(first.day, "reserved") == 400);
    struct budget_op after = take(conn, 1000, 500);
    cr_assert(after.reserved && after.left_tokens == 0);
    cr_expect(!take(conn, 1000, 1).reserved);
    cr_expect(take(conn, 1000, 0).reserved, "nothing is never too much");
    cr_expect_eq(take(conn, 300, 1).left_tokens, 0, "a limit that was lowered leaves nothing, not less");
    fixture_give(conn);
}

Test(budget, a_settle_counts_what_was_used)
{
    static const struct { int64_t used, want_spent; } table[] = {
        {30, 30}, {100, 100}, {170, 170}, {0, 0}, {COST_TOKENS_UNKNOWN, 100}, {INT64_MAX, COST_TOKENS_MAX},
    };
    struct redis_conn *conn = fixture_take();
    stay_within_a_day(conn);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct budget_op op = take(conn, 0, 100);
        cr_assert(op.reserved && op.left_tokens == 0 && counted(op.day, "reserved") == 100, "without a limit it is counted");
        settle(conn, op.day, 100, table[i].used);
        cr_expect_eq(counted(op.day, "spent"), table[i].want_spent, "row %zu", i);
        cr_expect_eq(counted(op.day, "reserved"), 0, "row %zu", i);
        settle(conn, op.day, 100, 5); /* of a reservation that Redis has lost */
        cr_expect(counted(op.day, "spent") == table[i].want_spent + 5 && counted(op.day, "reserved") == 0, "row %zu", i);
        char name[BUDGET_DAY_SIZE];
        budget_day_name(op.day, name);
        fixture_do("DEL %s:budget:{t}:%s", fixture.prefix, name);
    }
    fixture_give(conn);
}

Test(budget, a_job_that_is_asked_again_pays_again)
{
    struct redis_conn *conn = fixture_take();
    stay_within_a_day(conn);
    struct budget_op op = take(conn, 1000, 200);
    settle(conn, op.day, 200, COST_TOKENS_UNKNOWN); /* the connection broke in the middle of the answer */
    op = take(conn, 1000, 200);
    settle(conn, op.day, 200, 150);
    cr_expect_eq(take(conn, 1000, 0).left_tokens, 650);
    fixture_give(conn);
}

/* ---- days ---- */

Test(budget, day_names)
{
    static const struct { int64_t day; const char *want; } table[] = {
        {0, "1970-01-01"}, {58, "1970-02-28"}, {59, "1970-03-01"}, {11016, "2000-02-29"}, {19782, "2024-02-29"},
        {20453, "2025-12-31"}, {20454, "2026-01-01"}, {2932896, "9999-12-31"}, {INT64_MAX, "9999-12-31"}, {-1, "1970-01-01"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char name[BUDGET_DAY_SIZE];
        budget_day_name(table[i].day, name);
        cr_expect_str_eq(name, table[i].want);
    }
}

/* The keys that a worker of that clock would name, and Redis' clock at an instant of its own. */
static redisReply *take_at(int64_t redis_us, int64_t worker_day, int64_t tokens, int64_t limit)
{
    char days[3][BUDGET_DAY_SIZE];
    for (int i = 0; i < 3; i++)
        budget_day_name(worker_day - 1 + i, days[i]);
    struct redis_args call = {0};
    redis_args_tagged_keys(&call, fixture.prefix, "budget", "t", (const char *const[]){days[0], days[1], days[2]}, 3);
    redis_args_number(&call, worker_day - 1);
    redis_args_number(&call, tokens);
    redis_args_number(&call, limit);
    redisReply *reply = script_at(script_budget_take, redis_us, &call);
    redis_args_finish(&call);
    return reply;
}

Test(budget, midnight_is_redis_midnight_whatever_the_workers_clocks_say)
{
    const int64_t day = 20454, midnight_us = day * DAY_MS * 1000; /* 2026-01-01 */
    static const struct { int64_t at_us, worker_day; bool reserved; int64_t day, left, day_left_ms; } table[] = {
        {-1, 20453, true, 20453, 0, 1},           /* the last microsecond of the year takes the whole budget */
        {-1, 20454, false, 20453, 0, 1},          /* so it is for a worker whose clock is ahead */
        {0, 20454, true, 20454, 0, DAY_MS},       /* the first microsecond of the next has a budget of its own */
        {0, 20453, false, 20454, 0, DAY_MS},      /* a worker whose clock is behind */
        {1500, 20455, false, 20454, 0, DAY_MS - 1}, /* and one that is a day ahead */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        redisReply *reply = take_at(midnight_us + table[i].at_us, table[i].worker_day, 100, 100);
        cr_assert(reply->type == REDIS_REPLY_ARRAY && reply->elements == 4, "row %zu: %s", i, reply->str);
        const int64_t want[] = {table[i].reserved, table[i].day, table[i].left, table[i].day_left_ms};
        for (size_t k = 0; k < 4; k++)
            cr_expect_eq(reply->element[k]->integer, want[k], "row %zu, answer %zu: %lld", i, k, reply->element[k]->integer);
        freeReplyObject(reply);
    }
    cr_expect(fixture_int("EXISTS %s:budget:{t}:2025-12-31 %s:budget:{t}:2026-01-01", fixture.prefix, fixture.prefix) == 2);
    struct redis_conn *conn = fixture_take();
    settle(conn, 20453, 100, 30); /* an answer that came after midnight counts for the day of its question */
    cr_expect(counted(20453, "spent") == 30 && counted(20453, "reserved") == 0 && counted(20454, "reserved") == 100);
    fixture_give(conn);
}

Test(budget, a_worker_whose_clock_is_days_off_is_told_so)
{
    struct redis_conn *conn = fixture_take();
    stay_within_a_day(conn);
    static const int64_t off_ms[] = {-DAY_MS, 0, DAY_MS, -3 * DAY_MS, 3 * DAY_MS, -100000 * DAY_MS, INT64_MAX / 2};
    for (size_t i = 0; i < sizeof off_ms / sizeof *off_ms; i++) {
        struct budget_op op = {.tenant = "t", .tokens = 1, .now_wall_ms = clock_wall_ms() + off_ms[i]};
        OK(budget_take(conn, fixture.prefix, &op, 1, &error));
        cr_expect(op.reserved == (i < 3), "row %zu", i);
        if (i >= 3)
            cr_expect(op.error.class == ERROR_UNAVAILABLE && strstr(op.error.message, "clock"), "row %zu: %s", i, op.error.message);
    }
    cr_expect_eq(counted(clock_wall_ms() / DAY_MS, "reserved"), 3, "all on the one day");
    fixture_give(conn);
}

/* ---- keys and errors ---- */

Test(budget, keys_are_the_tenants_own_and_end)
{
    struct redis_conn *conn = fixture_take();
    struct budget_op ops[] = {{.tenant = "a:{b}%", .limit_tokens = 10, .tokens = 10}, {.tenant = "plain", .limit_tokens = 10, .tokens = 10}};
    char name[BUDGET_DAY_SIZE];
    stay_within_a_day(conn);
    ops[0].now_wall_ms = ops[1].now_wall_ms = clock_wall_ms();
    fixture_do("SCRIPT FLUSH");
    OK(budget_take(conn, fixture.prefix, ops, 2, &error));
    cr_assert(ops[0].reserved && ops[1].reserved, "once each, though the script was lost");
    budget_day_name(ops[0].day, name);
    int64_t ttl_s = fixture_int("TTL %s:budget:{a%%3A%%7Bb%%7D%%25}:%s", fixture.prefix, name);
    cr_expect(ttl_s > 172790 && ttl_s <= 172800, "%lld s", (long long)ttl_s);
    fixture_do("SCRIPT FLUSH");
    struct budget_settle_op back = {.tenant = "plain", .day = ops[1].day, .tokens_reserved = 10, .tokens_used = 4};
    fixture_do("PERSIST %s:budget:{plain}:%s", fixture.prefix, name);
    OK(budget_settle(conn, fixture.prefix, &back, 1, &error));
    cr_expect_str_eq(fixture_do("HGET %s:budget:{plain}:%s spent", fixture.prefix, name)->str, "4");
    cr_expect(fixture_int("TTL %s:budget:{plain}:%s", fixture.prefix, name) > 172790);
    OK(budget_take(conn, fixture.prefix, ops, 0, &error));
    fixture_give(conn);
}

Test(budget, a_key_that_is_something_else_is_an_error_and_nothing_is_reserved)
{
    struct redis_conn *conn = fixture_take();
    stay_within_a_day(conn);
    static const char *const spoil[] = {"SET %s:budget:{t}:%s 5", "HSET %s:budget:{t}:%s spent much", "HSET %s:budget:{t}:%s reserved much"};
    int64_t day = take(conn, 0, 0).day;
    char name[BUDGET_DAY_SIZE];
    budget_day_name(day, name);
    for (size_t i = 0; i < 3; i++) {
        fixture_do("DEL %s:budget:{t}:%s", fixture.prefix, name);
        fixture_do(spoil[i], fixture.prefix, name);
        struct budget_op op = {.tenant = "t", .limit_tokens = 100, .tokens = 1, .now_wall_ms = clock_wall_ms()};
        OK(budget_take(conn, fixture.prefix, &op, 1, &error));
        cr_expect(!op.reserved && op.error.class == ERROR_UNAVAILABLE, "row %zu", i);
        cr_expect(strstr(op.error.message, i == 0 ? "WRONGTYPE" : "BUDGET"), "%s", op.error.message);
        struct budget_settle_op back = {.tenant = "t", .day = day, .tokens_reserved = 1};
        OK(budget_settle(conn, fixture.prefix, &back, 1, &error));
        cr_expect(back.error.class == ERROR_PERMANENT, "row %zu", i);
        cr_expect(i == 0 || fixture_int("HLEN %s:budget:{t}:%s", fixture.prefix, name) == 1, "row %zu", i);
    }
    fixture_give(conn);
}

Test(budget, a_connection_that_dies_reserves_nothing_that_the_caller_knows_of)
{
    struct redis_conn *conn = fixture_take();
    fixture_kill(conn);
    struct budget_op op = {.tenant = "t", .limit_tokens = 100, .tokens = 1, .now_wall_ms = clock_wall_ms()};
    cr_assert(budget_take(conn, fixture.prefix, &op, 1, &error) == STATUS_FAILED);
    cr_expect(error.class == ERROR_UNAVAILABLE && conn->broken && !op.reserved);
    fixture_give(conn);
    conn = fixture_take();
    cr_expect(take(conn, 100, 100).reserved);
    fixture_give(conn);
}

/* ---- several at once ---- */

enum { THREADS = 4, CALLS = 500, LIMIT = 20000, ESTIMATE = 100 };

struct spender {
    pthread_t thread;
    struct redis_conn *conn;
    int64_t spent;
    bool failed, over;
};

/* Uses its estimate or less, as a model with max_tokens does. */
static void *spender_run(void *arg)
{
    struct spender *spender = arg;
    for (int i = 0; i < CALLS && !spender->failed; i++) {
        struct error err;
        struct budget_op op = {.tenant = "t", .limit_tokens = LIMIT, .tokens = ESTIMATE, .now_wall_ms = clock_wall_ms()};
        spender->failed = budget_take(spender->conn, fixture.prefix, &op, 1, &err) != STATUS_OK || op.error.class != ERROR_NONE;
        spender->over = spender->over || op.left_tokens < 0 || op.left_tokens >= LIMIT;
        if (spender->failed || !op.reserved)
            continue;
        struct budget_settle_op end = {.tenant = "t", .day = op.day, .tokens_reserved = ESTIMATE, .tokens_used = i * 7 % (ESTIMATE + 1)};
        spender->failed = budget_settle(spender->conn, fixture.prefix, &end, 1, &err) != STATUS_OK || end.error.class != ERROR_NONE;
        spender->spent += end.tokens_used;
    }
    return NULL;
}

Test(budget, four_who_spend_at_once_never_pass_the_limit)
{
    static struct spender spenders[THREADS];
    struct redis_conn *conn = fixture_take();
    stay_within_a_day(conn);
    int64_t day = take(conn, LIMIT, 0).day, spent = 0;
    for (int i = 0; i < THREADS; i++) {
        spenders[i].conn = fixture_take();
        cr_assert(pthread_create(&spenders[i].thread, NULL, spender_run, &spenders[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(spenders[i].thread, NULL);
        cr_expect(!spenders[i].failed && !spenders[i].over);
        spent += spenders[i].spent;
        fixture_give(spenders[i].conn);
    }
    cr_expect_eq(counted(day, "spent"), spent);
    cr_expect_eq(counted(day, "reserved"), 0);
    cr_expect(spent <= LIMIT && spent > LIMIT - ESTIMATE, "%lld of %d: all but what no estimate fits", (long long)spent, LIMIT);
    fixture_give(conn);
}
