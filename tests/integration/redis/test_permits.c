/* What the calls of permits.h promise, with Redis' own clock and with several threads. Its algorithm step by step:
 * test_permits_gcra.c; random calls against a model: test_permits_model.c. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quota/permits.h"
#include "lost_answer.h"
#include "redis_fixture.h"

TestSuite(permits, .init = fixture_start, .fini = fixture_stop, .timeout = 60);

static struct error error;
#define OK(call) cr_assert((call) == STATUS_OK, "%s: %s", #call, error.message)

/* A request in 10 s, a token in 100 ms: so slow that the time a test takes is nothing. */
static const struct permit_limits slow = {.requests_per_minute = 6, .tokens_per_minute = 600, .burst_ms = 20000};

static struct permit_op take(struct redis_conn *conn, const struct permit_limits *limits, int64_t tokens, int64_t max_wait_ms)
{
    struct permit_op op = {.provider = "p", .limits = limits, .tokens = tokens, .max_wait_ms = max_wait_ms};
    OK(permits_take(conn, fixture.prefix, &op, 1, &error));
    cr_assert(op.error.class == ERROR_NONE, "%s", op.error.message);
    return op;
}

static void settle(struct redis_conn *conn, int64_t reserved, int64_t used, bool called)
{
    struct permit_settle_op op = {.provider = "p", .limits = &slow, .tokens_reserved = reserved, .tokens_used = used, .called = called};
    OK(permits_settle(conn, fixture.prefix, &op, 1, &error));
    cr_assert(op.error.class == ERROR_NONE && op.redis_us > 0, "%s", op.error.message);
}

/* How far the limit's key is ahead of a take's clock; 0: no key. */
static int64_t ahead_us(const char *limit, int64_t since_us)
{
    const redisReply *reply = fixture_do("GET %s:permit:{p}:%s", fixture.prefix, limit);
    return reply->type == REDIS_REPLY_NIL ? 0 : strtoll(reply->str, NULL, 10) - since_us;
}

Test(permits, names_and_ends_of_the_keys)
{
    struct redis_conn *conn = fixture_take();
    struct permit_op ops[] = {{.provider = "a:{b}%", .limits = &slow, .tokens = 500}, {.provider = "plain", .limits = &slow, .tokens = 1}};
    OK(permits_take(conn, fixture.prefix, ops, 2, &error));
    cr_assert(ops[0].reserved && ops[1].reserved, "of one provider it is nothing to the other");
    cr_expect(fixture_int("EXISTS %s:permit:{a%%3A%%7Bb%%7D%%25}:requests %s:permit:{plain}:tokens", fixture.prefix, fixture.prefix) == 2);
    int64_t ttl_ms = fixture_int("PTTL %s:permit:{a%%3A%%7Bb%%7D%%25}:tokens", fixture.prefix);
    cr_expect(ttl_ms > 40000 && ttl_ms <= 51000, "%lld ms, for 50 s of tokens", (long long)ttl_ms);
    OK(permits_take(conn, fixture.prefix, ops, 0, &error));
    fixture_give(conn);
}

Test(permits, a_settle_puts_what_was_used_in_the_place_of_the_estimate)
{
    static const struct { int64_t used; bool called; int64_t want_requests, want_tokens; } table[] = {
        {100, true, 10000000, 10000000},
        {40, true, 10000000, 4000000},
        {160, true, 10000000, 16000000},
        {COST_TOKENS_UNKNOWN, true, 10000000, 10000000},
        {0, true, 10000000, 0},
        {0, false, 0, 0},
        {COST_TOKENS_UNKNOWN, false, 0, 0},
    };
    struct redis_conn *conn = fixture_take();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        fixture_do("DEL %s:permit:{p}:requests %s:permit:{p}:tokens", fixture.prefix, fixture.prefix);
        struct permit_op op = take(conn, &slow, 100, 0);
        settle(conn, 100, table[i].used, table[i].called);
        cr_expect_eq(ahead_us("requests", op.redis_us), table[i].want_requests, "row %zu", i);
        cr_expect_eq(ahead_us("tokens", op.redis_us), table[i].want_tokens, "row %zu", i);
    }
    fixture_give(conn);
}

Test(permits, a_usage_without_sense_shuts_a_provider_for_an_hour_at_most)
{
    struct redis_conn *conn = fixture_take();
    cr_expect(take(conn, &slow, 1, INT64_MIN).reserved);
    settle(conn, 1, INT64_MAX, true);
    struct permit_op op = take(conn, &slow, 1, 0);
    cr_expect(!op.reserved && op.wait_ms > 3570000 && op.wait_ms <= 3600000, "%lld", (long long)op.wait_ms);
    op = take(conn, &slow, 1, INT64_MAX);
    cr_expect(op.reserved, "who can wait so long may");
    fixture_give(conn);
}

Test(permits, whoever_waits_as_long_as_it_was_told_is_within_the_rate)
{
    static const struct permit_limits limits = {.requests_per_minute = 3000}; /* one in 20 ms */
    struct redis_conn *conn = fixture_take();
    int64_t first_us = 0;
    for (int i = 0; i < 10; i++) {
        struct permit_op op = take(conn, &limits, 1, 0);
        while (!op.reserved) {
            cr_assert(op.wait_ms > 0 && op.wait_ms <= 20 && op.waits_for == PERMIT_REQUESTS, "%lld", (long long)op.wait_ms);
            fixture_wait_redis_ms(op.wait_ms);
            op = take(conn, &limits, 1, 0);
            cr_assert(op.reserved && op.wait_ms == 0, "alone, it is asked for twice at the most");
        }
        first_us = i == 0 ? op.redis_us : first_us;
        cr_assert(op.redis_us >= first_us + i * 20000, "start %d after %lld us", i, (long long)(op.redis_us - first_us));
    }
    fixture_give(conn);
}

Test(permits, a_key_that_is_something_else_is_an_error_and_nothing_is_reserved)
{
    struct redis_conn *conn = fixture_take();
    static const char *const spoil[] = {"RPUSH %s:permit:{p}:%s x", "SET %s:permit:{p}:%s soon", "SET %s:permit:{p}:%s -5",
                                        "SET %s:permit:{p}:%s 99999999999999999999"};
    static const char *const limit[] = {"requests", "tokens"};
    for (size_t i = 0; i < 8; i++) {
        fixture_do("DEL %s:permit:{p}:requests %s:permit:{p}:tokens", fixture.prefix, fixture.prefix);
        fixture_do(spoil[i / 2], fixture.prefix, limit[i % 2]);
        struct permit_op ops[] = {{.provider = "p", .limits = &slow, .tokens = 1}, {.provider = "other", .limits = &slow, .tokens = 1}};
        OK(permits_take(conn, fixture.prefix, ops, 2, &error));
        cr_expect(ops[0].error.class == ERROR_UNAVAILABLE && strcmp(ops[0].error.code, "redis_refused") == 0);
        cr_expect(strstr(ops[0].error.message, i < 2 ? "WRONGTYPE" : "PERMIT"), "%s", ops[0].error.message);
        cr_expect(!ops[0].reserved && ops[1].error.class == ERROR_NONE, "the others of the pipeline are none the worse");
        struct permit_settle_op back = {.provider = "p", .limits = &slow, .tokens_reserved = 1};
        OK(permits_settle(conn, fixture.prefix, &back, 1, &error));
        cr_expect(back.error.class == ERROR_PERMANENT);
        cr_expect(fixture_int("EXISTS %s:permit:{p}:%s", fixture.prefix, limit[1 - i % 2]) == 0, "no half of it");
    }
    fixture_give(conn);
}

Test(permits, a_lost_script_is_loaded_again_and_counts_once)
{
    enum { N = 20 };
    struct redis_conn *conn = fixture_take();
    struct permit_op ops[N];
    struct permit_settle_op back[N];
    for (int i = 0; i < N; i++) {
        ops[i] = (struct permit_op){.provider = "p", .limits = &slow, .tokens = 10, .max_wait_ms = 600000};
        back[i] = (struct permit_settle_op){.provider = "p", .limits = &slow, .tokens_reserved = 10};
    }
    fixture_do("SCRIPT FLUSH");
    OK(permits_take(conn, fixture.prefix, ops, N, &error));
    for (int i = 0; i < N; i++)
        cr_assert(ops[i].error.class == ERROR_NONE && ops[i].reserved, "%d: %s", i, ops[i].error.message);
    cr_expect_eq(ahead_us("requests", ops[0].redis_us), N * 10000000);
    fixture_do("SCRIPT FLUSH");
    OK(permits_settle(conn, fixture.prefix, back, N / 2, &error));
    cr_expect_eq(ahead_us("requests", ops[0].redis_us), N / 2 * 10000000);
    fixture_give(conn);
}

static void see_no_error(void *arg, size_t index, const redisReply *reply)
{
    (void)arg;
    cr_assert(reply->type != REDIS_REPLY_ERROR, "command %zu: %s", index, reply->str);
}

Test(permits, a_take_whose_answer_was_lost_may_be_repeated_and_is_paid_for)
{
    struct redis_conn *conn = fixture_take(), *other = fixture_take();
    struct permit_op first = take(conn, &slow, 1, 0), lost = {.provider = "p", .limits = &slow, .tokens = 1, .max_wait_ms = 60000};
    struct catcher catcher;
    struct caught caught;
    catch_begin(&catcher, conn);
    cr_assert(permits_take(conn, fixture.prefix, &lost, 1, &error) == STATUS_FAILED);
    catch_end(&catcher, conn, &caught);
    cr_expect(error.class == ERROR_UNAVAILABLE && conn->broken && !lost.reserved);
    catch_deliver(&caught, other, see_no_error, NULL);
    cr_expect_eq(ahead_us("requests", first.redis_us), 20000000);
    cr_expect(take(other, &slow, 1, 60000).reserved);
    cr_expect_eq(ahead_us("requests", first.redis_us), 30000000);
    fixture_give(conn);
    fixture_give(other);
}

/* ---- several at once ---- */

enum { THREADS = 4, CALLS = 1000 };
static const struct permit_limits fast = {.requests_per_minute = 60000, .tokens_per_minute = 6000000, .burst_ms = 20};

struct hammer {
    pthread_t thread;
    struct redis_conn *conn;
    int64_t max_wait_ms;
    struct permit_op ops[CALLS];
    bool failed;
};

static void *hammer_run(void *arg)
{
    struct hammer *hammer = arg;
    for (int i = 0; i < CALLS && !hammer->failed; i++) {
        struct error err;
        hammer->ops[i] = (struct permit_op){.provider = "p", .limits = &fast, .tokens = i * 37 % 300, .max_wait_ms = hammer->max_wait_ms};
        hammer->failed = permits_take(hammer->conn, fixture.prefix, &hammer->ops[i], 1, &err) != STATUS_OK ||
                         hammer->ops[i].error.class != ERROR_NONE;
    }
    return NULL;
}

static int64_t start_us(const struct permit_op *op)
{
    return op->redis_us + op->wait_ms * 1000;
}

static int by_start(const void *a, const void *b)
{
    int64_t x = start_us(a), y = start_us(b);
    return (x > y) - (x < y);
}

/* In every period: a burst, and the rate for its length. Waits are returned in whole ms: a start seems up to 1 ms late. */
static void check_stretches(const struct permit_op *ops, int count)
{
    const int64_t slack_us = 1000, burst_us = 20000;
    for (int i = 0; i < count; i++) {
        int64_t requests_us = 0, tokens_us = 0;
        for (int k = i; k < count; k++) {
            int64_t stretch_us = start_us(&ops[k]) - start_us(&ops[i]) + slack_us + burst_us;
            requests_us += cost_us(1, fast.requests_per_minute);
            tokens_us += cost_us(ops[k].tokens, fast.tokens_per_minute);
            cr_assert(requests_us <= stretch_us, "%d requests in a stretch of %lld us", k - i + 1, (long long)stretch_us);
            cr_assert(tokens_us <= stretch_us, "tokens for %lld us in a stretch of %lld us", (long long)tokens_us, (long long)stretch_us);
        }
    }
}

Test(permits, four_who_hammer_one_limit_stay_within_it_together)
{
    static struct hammer hammers[THREADS];
    static struct permit_op reserved[THREADS * CALLS];
    int count = 0, refused = 0;
    for (int i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){.conn = fixture_take(), .max_wait_ms = i};
        cr_assert(pthread_create(&hammers[i].thread, NULL, hammer_run, &hammers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(hammers[i].thread, NULL);
        cr_assert(!hammers[i].failed);
        for (int k = 0; k < CALLS; k++) {
            cr_assert(hammers[i].ops[k].reserved == (hammers[i].ops[k].wait_ms <= i));
            if (hammers[i].ops[k].reserved)
                reserved[count++] = hammers[i].ops[k];
            else
                refused++;
        }
        fixture_give(hammers[i].conn);
    }
    qsort(reserved, (size_t)count, sizeof *reserved, by_start);
    check_stretches(reserved, count);
    cr_expect(count >= 10, "only %d", count);
    fprintf(stderr, "%d starts within %lld us, %d refused\n", count,
            (long long)(start_us(&reserved[count - 1]) - start_us(&reserved[0])), refused);
}
