/* Stress test of permits: random takes, settles, refunds, jumps of time, lost scripts and lost answers, against a model in plain
 * C that gets the time from Redis' answers; and against a witness that knows only the starts: in no period is
 * there more than a burst, the rate, and returned permits.
 * Replay one: CHAT_TEST_SEED=N; more: CHAT_TEST_SEEDS=N. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lost_answer.h"
#include "permits_model.h"
#include "redis_fixture.h"

enum { SEQUENCES = 200, STEPS = 120, BATCH = 3, OPEN_MAX = 16 };

static uint64_t seed, rng;
static int step;

static uint64_t next_random(void) /* splitmix64 */
{
    uint64_t z = rng += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static int64_t below(int64_t n)
{
    return (int64_t)(next_random() % (uint64_t)n);
}

static bool one_in(int n)
{
    return below(n) == 0;
}

#define CHECK(cond) cr_assert(cond, "CHAT_TEST_SEED=%llu step %d: %s", (unsigned long long)seed, step, #cond)
#define CHECK_EQ(got, want)                                                                                    \
    do {                                                                                                       \
        long long got_ = (long long)(got), want_ = (long long)(want);                                          \
        cr_assert(got_ == want_, "CHAT_TEST_SEED=%llu step %d: %s is %lld, the model says %lld",               \
                  (unsigned long long)seed, step, #got, got_, want_);                                          \
    } while (0)

static struct permits_model model;
static struct permit_limits limits;
static struct redis_conn *conn;
static int64_t leapt_us; /* time that passed only in the keys */

/* Reservations that aren't settled yet, by their tokens. */
static int64_t open_tokens[OPEN_MAX];
static int open_count;

/* ---- the witness ---- */

struct start {
    int64_t at_us, cost_us[LIMITS];
    int64_t given_back_us[LIMITS]; /* by all settles before it */
};
static struct start starts[STEPS * BATCH];
static int start_count;
static int64_t given_back_us[LIMITS];
static struct { long long reserved, waited, refused, over_burst, settled; } seen;

static void costs_of(int64_t tokens, int64_t ret[LIMITS])
{
    ret[REQUESTS] = cost_us(1, limits.requests_per_minute);
    ret[TOKENS] = cost_us(tokens, limits.tokens_per_minute);
}

static void witness_start(int64_t at_us, int64_t tokens)
{
    struct start *start = &starts[start_count++];
    start->at_us = at_us;
    costs_of(tokens, start->cost_us);
    memcpy(start->given_back_us, given_back_us, sizeof given_back_us);
    seen.over_burst += start->cost_us[TOKENS] > model.burst_us[TOKENS] && model.burst_us[TOKENS];
}

static void witness_judges(int limit)
{
    for (int i = 0; i < start_count && model.burst_us[limit]; i++) {
        int64_t sum_us = 0;
        for (int k = i; k < start_count; k++) {
            const struct start *last = &starts[k];
            sum_us += last->cost_us[limit];
            int64_t stretch_us = last->at_us - starts[i].at_us;
            int64_t back_us = last->given_back_us[limit] - starts[i].given_back_us[limit];
            CHECK(sum_us <= stretch_us + later(model.burst_us[limit], last->cost_us[limit]) + back_us);
        }
    }
}

/* ---- moves ---- */

/* Keys match the model; a missing key equals one behind the clock. */
static void look(int64_t now_us)
{
    static const char *const names[LIMITS] = {"requests", "tokens"};
    for (int i = 0; i < LIMITS; i++) {
        const redisReply *reply = fixture_do("GET %s:permit:{p}:%s", fixture.prefix, names[i]);
        int64_t stored_us = reply->type == REDIS_REPLY_NIL ? 0 : strtoll(reply->str, NULL, 10);
        CHECK_EQ(later(stored_us, now_us), later(model.arrival_us[i], now_us));
    }
}

static void check_take(const struct permit_op *op)
{
    int64_t cost[LIMITS];
    costs_of(op->tokens, cost);
    CHECK_EQ(op->error.class, ERROR_NONE);
    struct model_answer want = model_take(&model, op->redis_us, cost, op->max_wait_ms);
    CHECK_EQ(op->reserved, want.reserved);
    CHECK_EQ(op->wait_ms, (want.wait_us + 999) / 1000);
    CHECK_EQ(op->waits_for, want.waits_for);
    seen.refused += !want.reserved;
    if (!want.reserved)
        return;
    seen.reserved++;
    seen.waited += want.wait_us > 0;
    witness_start(leapt_us + op->redis_us + want.wait_us, op->tokens);
    if (open_count < OPEN_MAX) /* one too many is never settled: its worker crashed */
        open_tokens[open_count++] = op->tokens;
}

/* Some cost more than a burst. */
static int64_t some_tokens(void)
{
    int64_t at_once = limits.tokens_per_minute ? limits.tokens_per_minute * (limits.burst_ms + 1) / 60000 : 1000;
    return below(one_in(4) ? at_once * 3 + 2 : at_once / 4 + 2);
}

static void moves_take(void)
{
    static const int64_t waits_ms[] = {0, 0, 1, 20, 1000, 60000};
    struct permit_op ops[BATCH];
    int n = 1 + (int)below(BATCH);
    struct error err;
    for (int i = 0; i < n; i++)
        ops[i] = (struct permit_op){.provider = "p", .limits = &limits, .tokens = some_tokens(), .max_wait_ms = waits_ms[below(6)]};
    CHECK(permits_take(conn, fixture.prefix, ops, (size_t)n, &err) == STATUS_OK);
    for (int i = 0; i < n; i++)
        check_take(&ops[i]);
    look(ops[n - 1].redis_us);
}

/* What the settle adds to both limits, by the header's rules. */
static void settle_adds(const struct permit_settle_op *op, int64_t ret[LIMITS])
{
    int64_t reserved[LIMITS], used[LIMITS] = {0};
    costs_of(op->tokens_reserved, reserved);
    if (op->called)
        costs_of(op->tokens_used == COST_TOKENS_UNKNOWN ? op->tokens_reserved : op->tokens_used, used);
    for (int i = 0; i < LIMITS; i++)
        ret[i] = used[i] - reserved[i];
}

static void moves_settle(void)
{
    if (open_count == 0)
        return;
    int64_t *open = &open_tokens[below(open_count)];
    struct permit_settle_op op = {.provider = "p", .limits = &limits, .tokens_reserved = *open, .called = !one_in(3)};
    op.tokens_used = one_in(4) ? COST_TOKENS_UNKNOWN : below(*open * 3 / 2 + 2);
    *open = open_tokens[--open_count];
    struct error err;
    CHECK(permits_settle(conn, fixture.prefix, &op, 1, &err) == STATUS_OK);
    CHECK_EQ(op.error.class, ERROR_NONE);
    int64_t added[LIMITS];
    settle_adds(&op, added);
    model_settle(&model, op.redis_us, added);
    for (int i = 0; i < LIMITS; i++)
        given_back_us[i] += added[i] < 0 ? -added[i] : 0;
    seen.settled++;
    look(op.redis_us);
}

/* Hours pass at once: all reservations are moved back. */
static void time_leaps(void)
{
    static const char *const names[LIMITS] = {"requests", "tokens"};
    int64_t by_us = one_in(4) ? 3600000000 : below(limits.burst_ms * 2000 + 2000);
    leapt_us += by_us;
    for (int i = 0; i < LIMITS; i++) {
        model.arrival_us[i] = later(model.arrival_us[i] - by_us, 0);
        const redisReply *reply = fixture_do("GET %s:permit:{p}:%s", fixture.prefix, names[i]);
        if (reply->type != REDIS_REPLY_NIL)
            fixture_do("SET %s:permit:{p}:%s %lld KEEPTTL", fixture.prefix, names[i], strtoll(reply->str, NULL, 10) - by_us);
    }
}

struct heard {
    int64_t tokens, max_wait_ms;
};

/* The caller never gets the answer: its reservation is never settled, but the model counts it. */
static void overhear(void *arg, size_t index, const redisReply *reply)
{
    const struct heard *heard = arg;
    if (reply->type == REDIS_REPLY_ERROR) /* NOSCRIPT: the caller that would have loaded it has failed */
        return;
    CHECK(index == 0 && reply->type == REDIS_REPLY_ARRAY && reply->elements == 4);
    struct permit_op op = {.tokens = heard->tokens, .max_wait_ms = heard->max_wait_ms};
    op.reserved = reply->element[0]->integer == 1;
    op.wait_ms = (reply->element[1]->integer + 999) / 1000;
    op.waits_for = (enum permit_limit)reply->element[2]->integer;
    op.redis_us = reply->element[3]->integer;
    int open_before = open_count;
    check_take(&op);
    open_count = open_before;
}

static void answer_is_lost(void)
{
    struct permit_op op = {.provider = "p", .limits = &limits, .tokens = some_tokens(), .max_wait_ms = 1000};
    struct catcher catcher;
    struct caught caught;
    struct error err;
    catch_begin(&catcher, conn);
    CHECK(permits_take(conn, fixture.prefix, &op, 1, &err) == STATUS_FAILED);
    catch_end(&catcher, conn, &caught);
    CHECK(err.class == ERROR_UNAVAILABLE && conn->broken && !op.reserved);
    fixture_give(conn);
    conn = fixture_take();
    if (one_in(2))
        catch_deliver(&caught, fixture.admin, overhear, &(struct heard){op.tokens, op.max_wait_ms});
}

static void move(void)
{
    int64_t what = below(100);
    if (what < 55)
        moves_take();
    else if (what < 80)
        moves_settle();
    else if (what < 90)
        time_leaps();
    else if (what < 95)
        fixture_wait_redis_ms(0);
    else if (what < 98)
        answer_is_lost();
    else
        fixture_do("SCRIPT FLUSH");
}

static void run_sequence(void)
{
    static const int64_t requests[] = {0, 6, 600, 60000, 7000000}, tokens[] = {0, 700, 90000, 6000000, 999999999};
    static const int64_t bursts_ms[] = {0, 1, 10, 100, 6000};
    limits = (struct permit_limits){requests[below(5)], tokens[below(5)], bursts_ms[below(5)]};
    model = (struct permits_model){.burst_us = {cost_burst_us(limits.burst_ms, limits.requests_per_minute),
                                                cost_burst_us(limits.burst_ms, limits.tokens_per_minute)}};
    memset(given_back_us, 0, sizeof given_back_us);
    start_count = open_count = 0;
    leapt_us = 0;
    conn = fixture_take();
    for (step = 1; step < STEPS; step++)
        move();
    for (int i = 0; i < LIMITS; i++)
        witness_judges(i);
    fixture_give(conn);
}

Test(permits_model, random_sequences, .init = fixture_start, .fini = fixture_stop, .timeout = 300)
{
    const char *fixed = getenv("CHAT_TEST_SEED"), *count = getenv("CHAT_TEST_SEEDS");
    int runs = fixed ? 1 : count ? atoi(count) : SEQUENCES;
    uint64_t first = fixed ? strtoull(fixed, NULL, 10) : (uint64_t)clock_wall_ms();
    int64_t started_ms = clock_mono_ms();
    char prefix[40];
    snprintf(prefix, sizeof prefix, "%.38s", fixture.prefix);
    for (int i = 0; i < runs; i++) {
        seed = rng = first + (uint64_t)i;
        snprintf(fixture.prefix, sizeof fixture.prefix, "%s-%d", prefix, i);
        run_sequence();
    }
    fprintf(stderr, "%d sequences of %d steps in %lld ms, seeds from %llu: %lld reserved (%lld to wait, %lld of more than a burst), %lld refused, %lld settled\n",
            runs, STEPS, (long long)(clock_mono_ms() - started_ms), (unsigned long long)first, seen.reserved, seen.waited,
            seen.over_burst, seen.refused, seen.settled);
}
