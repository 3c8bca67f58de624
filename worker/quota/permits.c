#include "quota/permits.h"

#include "redis/redis_script.h"
#include "redis_scripts.h"

static const struct redis_script take_script = {"permit_take", script_permit_take, script_permit_take_sha, true};
static const struct redis_script settle_script = {"permit_settle", script_permit_settle, script_permit_settle_sha, false};

struct permit_limits permits_limits_of(const struct provider_settings *provider)
{
    return (struct permit_limits){.requests_per_minute = provider->requests_per_minute,
                                  .tokens_per_minute = provider->tokens_per_minute,
                                  .burst_ms = provider->burst_ms};
}

bool permits_are_limited(const struct provider_settings *provider)
{
    return provider->requests_per_minute > 0 || provider->tokens_per_minute > 0;
}

static void keys_fill(struct redis_args *args, const char *key_prefix, const char *provider)
{
    static const char *const names[] = {"requests", "tokens"};
    redis_args_tagged_keys(args, key_prefix, "permit", provider, names, sizeof names / sizeof *names);
}

/* ---- take ---- */

static int64_t max_wait_us(const struct permit_op *op)
{
    if (op->max_wait_ms <= 0)
        return 0;
    return 1000 * (op->max_wait_ms < PERMITS_WAIT_MS_MAX ? op->max_wait_ms : PERMITS_WAIT_MS_MAX);
}

static void take_fill(struct redis_args *args, const void *shared, const void *of)
{
    const struct permit_op *op = of;
    const struct permit_limits *limits = op->limits;
    keys_fill(args, shared, op->provider);
    redis_args_number(args, cost_us(1, limits->requests_per_minute));
    redis_args_number(args, cost_burst_us(limits->burst_ms, limits->requests_per_minute));
    redis_args_number(args, cost_us(op->tokens, limits->tokens_per_minute));
    redis_args_number(args, cost_burst_us(limits->burst_ms, limits->tokens_per_minute));
    redis_args_number(args, max_wait_us(op));
}

static bool take_answer(void *of, const void *shared, const redisReply *reply)
{
    (void)shared;
    struct permit_op *op = of;
    if (!redis_reply_is_integers(reply, 4) || reply->element[2]->integer < PERMIT_NO_LIMIT ||
        reply->element[2]->integer > PERMIT_TOKENS)
        return false;
    op->reserved = reply->element[0]->integer == 1;
    op->wait_ms = (reply->element[1]->integer + 999) / 1000; /* a start is never early */
    op->waits_for = (enum permit_limit)reply->element[2]->integer;
    op->redis_us = reply->element[3]->integer;
    return true;
}

static void take_ops_clear(struct permit_op *ops, size_t n)
{
    for (struct permit_op *op = ops; op < ops + n; op++) {
        op->error.class = ERROR_NONE;
        op->reserved = false;
        op->wait_ms = op->redis_us = 0;
        op->waits_for = PERMIT_NO_LIMIT;
    }
}

enum status permits_take(struct redis_conn *conn, const char *key_prefix, struct permit_op *ops, size_t n,
                         struct error *err)
{
    take_ops_clear(ops, n);
    enum status status = redis_script_run(conn, &REDIS_SCRIPT_CALLS(&take_script, take_fill, take_answer, key_prefix, ops), n, err);
    if (status != STATUS_OK) /* some were answered before the connection broke; the batch fails as a whole */
        take_ops_clear(ops, n);
    return status;
}

/* ---- settle ---- */

/* What to add to one limit's use; negative: returned. */
static int64_t correction_us(int64_t used, int64_t reserved, int64_t per_minute)
{
    return cost_us(used, per_minute) - cost_us(reserved, per_minute);
}

static void settle_fill(struct redis_args *args, const void *shared, const void *of)
{
    const struct permit_settle_op *op = of;
    int64_t used = op->called ? op->tokens_used : 0;
    if (used < 0) /* unknown */
        used = op->tokens_reserved;
    keys_fill(args, shared, op->provider);
    redis_args_number(args, correction_us(op->called, 1, op->limits->requests_per_minute));
    redis_args_number(args, correction_us(used, op->tokens_reserved, op->limits->tokens_per_minute));
}

static bool settle_answer(void *of, const void *shared, const redisReply *reply)
{
    (void)shared;
    struct permit_settle_op *op = of;
    if (!redis_reply_is_integers(reply, 3))
        return false;
    op->redis_us = reply->element[0]->integer;
    op->requests_until_us = reply->element[1]->integer;
    op->tokens_until_us = reply->element[2]->integer;
    return true;
}

static int64_t line_us(const struct permit_settle_op *op, int64_t until_us, int64_t per_minute)
{
    int64_t left_us = until_us - op->redis_us - cost_burst_us(op->limits->burst_ms, per_minute);
    return per_minute > 0 && left_us > 0 ? left_us : 0;
}

int64_t permits_line_ms(const struct permit_settle_op *op)
{
    int64_t requests_us = line_us(op, op->requests_until_us, op->limits->requests_per_minute);
    int64_t tokens_us = line_us(op, op->tokens_until_us, op->limits->tokens_per_minute);
    return ((requests_us > tokens_us ? requests_us : tokens_us) + 999) / 1000;
}

enum status permits_settle(struct redis_conn *conn, const char *key_prefix, struct permit_settle_op *ops, size_t n,
                           struct error *err)
{
    return redis_script_run(conn, &REDIS_SCRIPT_CALLS(&settle_script, settle_fill, settle_answer, key_prefix, ops), n, err);
}
