#include "quota/budget.h"

#include <time.h>

#include "redis/redis_script.h"
#include "redis_scripts.h"

#define DAY_S 86400
#define DAY_LAST 2932896 /* 9999-12-31 */

static const struct redis_script take_script = {"budget_take", script_budget_take, script_budget_take_sha, true};
static const struct redis_script settle_script = {"budget_settle", script_budget_settle, script_budget_settle_sha, false};

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

void budget_day_name(int64_t day, char ret[BUDGET_DAY_SIZE])
{
    time_t seconds = (time_t)(clamp(day, 0, DAY_LAST) * DAY_S);
    struct tm date;
    gmtime_r(&seconds, &date);
    strftime(ret, BUDGET_DAY_SIZE, "%Y-%m-%d", &date);
}

/* Bounded, so that Lua's numbers stay exact. */
static int64_t tokens_of(int64_t tokens)
{
    return clamp(tokens, 0, COST_TOKENS_MAX);
}

/* ---- take ---- */

static void take_fill(struct redis_args *args, const void *shared, const void *of)
{
    enum { DAYS = 3 };
    const struct budget_op *op = of;
    int64_t first = clamp(op->now_wall_ms / 1000 / DAY_S - 1, 0, DAY_LAST - DAYS + 1);
    char days[DAYS][BUDGET_DAY_SIZE];
    const char *names[DAYS];
    for (int i = 0; i < DAYS; i++) {
        budget_day_name(first + i, days[i]);
        names[i] = days[i];
    }
    redis_args_tagged_keys(args, shared, "budget", op->tenant, names, DAYS);
    redis_args_number(args, first);
    redis_args_number(args, tokens_of(op->tokens));
    redis_args_number(args, tokens_of(op->limit_tokens));
}

static bool take_answer(void *of, const void *shared, const redisReply *reply)
{
    (void)shared;
    struct budget_op *op = of;
    if (!redis_reply_is_integers(reply, 4))
        return false;
    op->reserved = reply->element[0]->integer == 1;
    op->day = reply->element[1]->integer;
    op->left_tokens = reply->element[2]->integer;
    op->day_left_ms = reply->element[3]->integer;
    return true;
}

static void take_ops_clear(struct budget_op *ops, size_t n)
{
    for (struct budget_op *op = ops; op < ops + n; op++) {
        op->error.class = ERROR_NONE;
        op->reserved = false;
        op->day = op->left_tokens = op->day_left_ms = 0;
    }
}

enum status budget_take(struct redis_conn *conn, const char *key_prefix, struct budget_op *ops, size_t n,
                        struct error *err)
{
    take_ops_clear(ops, n);
    enum status status = redis_script_run(conn, &REDIS_SCRIPT_CALLS(&take_script, take_fill, take_answer, key_prefix, ops), n, err);
    if (status != STATUS_OK) /* some were answered before the connection broke; the batch fails as a whole */
        take_ops_clear(ops, n);
    return status;
}

/* ---- settle ---- */

static void settle_fill(struct redis_args *args, const void *shared, const void *of)
{
    const struct budget_settle_op *op = of;
    char day[BUDGET_DAY_SIZE];
    budget_day_name(op->day, day);
    redis_args_tagged_keys(args, shared, "budget", op->tenant, (const char *const[]){day}, 1);
    redis_args_number(args, tokens_of(op->tokens_reserved));
    redis_args_number(args, tokens_of(op->tokens_used < 0 ? op->tokens_reserved : op->tokens_used));
}

static bool settle_answer(void *of, const void *shared, const redisReply *reply)
{
    (void)of;
    (void)shared;
    return reply->type == REDIS_REPLY_INTEGER;
}

enum status budget_settle(struct redis_conn *conn, const char *key_prefix, struct budget_settle_op *ops, size_t n,
                          struct error *err)
{
    return redis_script_run(conn, &REDIS_SCRIPT_CALLS(&settle_script, settle_fill, settle_answer, key_prefix, ops), n, err);
}
