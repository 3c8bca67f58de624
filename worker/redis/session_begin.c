#include "redis/session_begin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "redis/redis_pool.h"
#include "wire/history.h"
#include "redis_scripts.h"

static const struct redis_script begin_script = {"begin", script_begin, script_begin_sha, false};

static void begin_fill(struct redis_args *args, const void *shared, const void *of)
{
    const struct session_store_conf *conf = shared;
    const struct begin_op *op = of;
    redis_args_keys(args, conf->key_prefix, op->claim.session, op->claim.job_id, true);
    redis_args_text(args, op->claim.token);
    redis_args_text(args, op->fingerprint);
    redis_args_text(args, op->origin);
    redis_args_text(args, conf->self.id);
    redis_args_text(args, conf->self.instance);
    redis_args_number(args, conf->self.started_ms);
    redis_args_number(args, conf->lease_ms);
    redis_args_text(args, op->claim.job_id);
    redis_args_text(args, op->holder); /* empty in the first pass: no holder is presumed dead */
    redis_args_number(args, session_store_keep_ms(conf));
    redis_args_number(args, op->crashes_max > 1 ? op->crashes_max : 1);
    redis_args_number(args, conf->history_bytes_max);
    redis_args_number(args, op->keep_seen ? op->seen_ago_ms : -1);
}

static bool run_read(struct begin_op *op, const redisReply *reply)
{
    if (!session_reply_is_array(reply, 7) || reply->element[5]->type != REDIS_REPLY_ARRAY || reply->element[6]->type != REDIS_REPLY_INTEGER)
        return false;
    const redisReply *turns = reply->element[5];
    for (size_t i = 1; i <= 4; i++)
        if (reply->element[i]->type != REDIS_REPLY_INTEGER)
            return false;
    op->claim.claim_epoch = reply->element[1]->integer;
    op->fails = reply->element[2]->integer;
    op->crashes = reply->element[3]->integer;
    op->first_failed_ms = reply->element[4]->integer;
    if (op->keep_seen)
        op->seen_ago_ms = reply->element[6]->integer;
    if (turns->elements)
        op->turns = xcalloc(turns->elements, sizeof *op->turns);
    for (size_t i = 0; i < turns->elements; i++)
        op->turns[op->turn_count++] = xmemdup0(turns->element[i]->str, turns->element[i]->len);
    op->turn_count = history_drop_refused(op->turns, op->turn_count);
    op->holder[0] = '\0'; /* set when the claim was taken over from a holder presumed dead */
    op->state = BEGIN_RUN;
    return true;
}

static bool begin_answer(void *of, const void *shared, const redisReply *reply)
{
    const struct session_store_conf *conf = shared;
    struct begin_op *op = of;
    if (!session_reply_is_array(reply, 1))
        return false;
    redisReply *const *parts = reply->element;
    if (session_reply_is_text(parts[0], "run"))
        return run_read(op, reply);
    if (session_reply_is_text(parts[0], "suspect") && reply->elements == 2 && parts[1]->type == REDIS_REPLY_INTEGER) {
        op->state = BEGIN_SUSPECT;
        op->crashes = parts[1]->integer;
        return true;
    }
    if (session_reply_is_text(parts[0], "conflict")) {
        op->state = BEGIN_CONFLICT;
        return true;
    }
    if (session_reply_is_text(parts[0], "done") && reply->elements == 3 && session_reply_end_state(parts[1], &op->end_state)) {
        op->state = BEGIN_DONE;
        if (parts[2]->type == REDIS_REPLY_STRING)
            op->reply = xmemdup0(parts[2]->str, parts[2]->len);
        return true;
    }
    if (!session_reply_is_text(parts[0], "busy") || reply->elements != 3 || parts[1]->type != REDIS_REPLY_INTEGER ||
        parts[2]->type != REDIS_REPLY_STRING)
        return false;
    op->state = BEGIN_BUSY;
    op->busy_ms = parts[1]->integer;
    snprintf(op->holder, sizeof op->holder, "%s", parts[2]->str);
    op->holder_is_self = strcmp(op->holder, conf->self.id) == 0;
    return true;
}

static bool held_by_another(const struct begin_op *op)
{
    return op->error.class == ERROR_NONE && op->state == BEGIN_BUSY && !op->holder_is_self;
}

static enum status heartbeats_ask(struct redis_conn *conn, const struct session_store_conf *conf,
                                  const struct begin_op *ops, const size_t *busy, size_t count, struct error *err)
{
    struct redis_args args = {0};
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *key = xasprintf("%s:alive:%s", conf->key_prefix, ops[busy[i]].holder);
        redis_args_reset(&args);
        redis_args_text(&args, "PTTL");
        redis_args_text(&args, key);
        if (redis_args_append(&args, conn, err) != STATUS_OK)
            return STATUS_FAILED;
    }
    return STATUS_OK;
}

/* Reads the heartbeats of the holders in busy[0..*count) and keeps those without one. For a live holder busy_ms is
 * at most until its heartbeat could expire. */
static enum status heartbeats_check(struct redis_conn *conn, const struct session_store_conf *conf,
                                    struct begin_op *ops, size_t *busy, size_t *count, struct error *err)
{
    if (heartbeats_ask(conn, conf, ops, busy, *count, err) != STATUS_OK)
        return STATUS_FAILED;
    size_t dead = 0;
    for (size_t i = 0; i < *count; i++) {
        redisReply *reply;
        if (redis_reply_next(conn, &reply, err) != STATUS_OK)
            return STATUS_FAILED;
        struct begin_op *op = &ops[busy[i]];
        int64_t left_ms = reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
        freeReplyObject(reply);
        if (left_ms == -2) /* no such key */
            busy[dead++] = busy[i];
        else if (left_ms >= 0 && left_ms < op->busy_ms)
            op->busy_ms = left_ms + 1;
    }
    *count = dead;
    return STATUS_OK;
}

enum status session_begin_from_dead(struct redis_conn *conn, const struct redis_script_calls *calls, size_t n,
                                  struct error *err)
{
    struct begin_op *ops = calls->ops;
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += held_by_another(&ops[i]);
    if (count == 0)
        return STATUS_OK;
    AUTO_FREE size_t *busy = xcalloc(count, sizeof *busy);
    count = 0;
    for (size_t i = 0; i < n; i++)
        if (held_by_another(&ops[i]))
            busy[count++] = i;
    if (heartbeats_check(conn, calls->shared, ops, busy, &count, err) != STATUS_OK)
        return STATUS_FAILED;
    return redis_script_run_some(conn, calls, busy, count, err);
}

void session_begin_clear(struct begin_op *ops, size_t n)
{
    for (struct begin_op *op = ops; op < ops + n; op++) {
        op->error.class = ERROR_NONE;
        op->reply = NULL;
        op->turns = NULL;
        op->turn_count = 0;
        op->holder[0] = '\0';
        op->holder_is_self = false;
        op->busy_ms = op->fails = op->crashes = op->first_failed_ms = 0;
    }
}

void session_begin_release(struct begin_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        begin_op_finish(&ops[i]);
}

struct redis_script_calls session_begin_calls(const struct session_store_conf *conf, struct begin_op *ops)
{
    return REDIS_SCRIPT_CALLS(&begin_script, begin_fill, begin_answer, conf, ops);
}

enum status session_store_begin(struct redis_conn *conn, const struct session_store_conf *conf, struct begin_op *ops,
                                size_t n, struct error *err)
{
    struct redis_script_calls calls = session_begin_calls(conf, ops);
    session_begin_clear(ops, n);
    if (redis_script_run(conn, &calls, n, err) == STATUS_OK && session_begin_from_dead(conn, &calls, n, err) == STATUS_OK)
        return STATUS_OK;
    session_begin_release(ops, n);
    return STATUS_FAILED;
}

void begin_op_drop_turns(struct begin_op *op)
{
    for (size_t i = 0; i < op->turn_count; i++)
        free(op->turns[i]);
    free(op->turns);
    op->turns = NULL;
    op->turn_count = 0;
}

void begin_op_finish(struct begin_op *op)
{
    begin_op_drop_turns(op);
    free(op->reply);
    op->reply = NULL;
}
