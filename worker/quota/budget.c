#include "quota/budget.h"

#include <time.h>

#include "redis/redis_script.h"
#include "redis_scripts.h"

#define DAY_S 86400
#define DAY_LAST 2932896 /* 9999-12-31 */

static const struct redis_script take_script = {"budget_take", script_budget_take, script_budget_take_sha, true};
static const struct redis_script settle_script = {"budget_settle", script_budget_settle, script_budget_settle_sha, false};

/* What the callbacks of one call see. */
struct batch {
    const char *key_prefix;
    void *ops;
};

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

/* How Lua's numbers stay exact. */
static int64_t tokens_of(int64_t tokens)
{
    return clamp(tokens, 0, COST_TOKENS_MAX);
}

/* ---- take ---- */

static void take_fill(struct redis_args *args, void *batch_arg, size_t index)
{
    enum { DAYS = 3 };
    const struct batch *batch = batch_arg;
    const struct budget_op *op = (const struct budget_op *)batch->ops + index;
    int64_t first = clamp(op->now_wall_ms / 1000 / DAY_S - 1, 0, DAY_LAST - DAYS + 1);
    char days[DAYS][BUDGET_DAY_SIZE];
    const char *names[DAYS];
    for (int i = 0; i < DAYS; i++) {
        budget_day_name(first + i, days[i]);
        names[i] = days[i];
    }
    redis_args_tagged_keys(args, batch->key_prefix, "budget", op->tenant, names, DAYS);
    redis_args_number(args, first);
    redis_args_number(args, tokens_of(op->tokens));
    redis_args_number(args, tokens_of(op->limit_tokens));
}

static bool take_answer(void *batch_arg, size_t index, const redisReply *reply)
{
    struct budget_op *op = (struct budget_op *)((struct batch *)batch_arg)->ops + index;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4)
        return false;
    for (size_t i = 0; i < 4; i++)
        if (reply->element[i]->type != REDIS_REPLY_INTEGER)
            return false;
    op->reserved = reply->element[0]->integer == 1;
    op->day = reply->element[1]->integer;
    op->left_tokens = reply->element[2]->integer;
    op->day_left_ms = reply->element[3]->integer;
    return true;
}

static struct error *take_error(void *batch_arg, size_t index)
{
    return &((struct budget_op *)((struct batch *)batch_arg)->ops + index)->error;
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
    struct batch batch = {key_prefix, ops};
    take_ops_clear(ops, n);
    enum status status = redis_script_run(
        conn, &(struct redis_script_calls){&take_script, take_fill, take_answer, take_error, &batch}, n, err);
    if (status != STATUS_OK) /* some were answered before the connection broke; a batch has one fate */
        take_ops_clear(ops, n);
    return status;
}

/* ---- settle ---- */

static void settle_fill(struct redis_args *args, void *batch_arg, size_t index)
{
    const struct batch *batch = batch_arg;
    const struct budget_settle_op *op = (const struct budget_settle_op *)batch->ops + index;
    char day[BUDGET_DAY_SIZE];
    budget_day_name(op->day, day);
    redis_args_tagged_keys(args, batch->key_prefix, "budget", op->tenant, (const char *const[]){day}, 1);
    redis_args_number(args, tokens_of(op->tokens_reserved));
    redis_args_number(args, tokens_of(op->tokens_used < 0 ? op->tokens_reserved : op->tokens_used));
}

static bool settle_answer(void *batch_arg, size_t index, const redisReply *reply)
{
    (void)batch_arg;
    (void)index;
    return reply->type == REDIS_REPLY_INTEGER;
}

static struct error *settle_error(void *batch_arg, size_t index)
{
    return &((struct budget_settle_op *)((struct batch *)batch_arg)->ops + index)->error;
}

enum status budget_settle(struct redis_conn *conn, const char *key_prefix, struct budget_settle_op *ops, size_t n,
                          struct error *err)
{
    struct batch batch = {key_prefix, ops};
    return redis_script_run(
        conn, &(struct redis_script_calls){&settle_script, settle_fill, settle_answer, settle_error, &batch}, n, err);
}
