#include "redis/session_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "redis/redis_pool.h"
#include "redis/redis_script.h"
#include "redis/session_begin.h"
#include "redis/session_finish.h"
#include "redis/session_reply.h"
#include "redis_scripts.h"

static const struct redis_script release_script = {"release", script_release, script_release_sha, false};
static const struct redis_script cancel_script = {"cancel", script_cancel, script_cancel_sha, false};
static const struct redis_script renew_script = {"renew", script_renew, script_renew_sha, false};

#define TOKENS_DRAWN 16 /* 256 bytes: as many as the kernel gives whole */

void session_store_token(char out[33])
{
    static _Thread_local struct {
        uint64_t words[TOKENS_DRAWN][2];
        size_t left;
    } drawn;
    if (drawn.left == 0) {
        while (getrandom(drawn.words, sizeof drawn.words, 0) != (ssize_t)sizeof drawn.words)
            if (errno != EINTR)
                abort(); /* a guessable token could finish another's claim */
        drawn.left = TOKENS_DRAWN;
    }
    const uint64_t *words = drawn.words[--drawn.left];
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, words[0], words[1]);
}

/* ---- finish ---- */

enum status session_store_finish(struct redis_conn *conn, const struct session_store_conf *conf,
                                 struct finish_op *ends, size_t n, struct begin_op *followers, size_t m,
                                 struct error *err)
{
    struct redis_script_calls finish = session_finish_calls(conf, ends);
    struct redis_script_calls begin = session_begin_calls(conf, followers);
    bool ahead = false;
    session_begin_clear(followers, m);
    enum status status = redis_script_run_pair(conn, &finish, n, &begin, m, &ahead, err);
    if (status == STATUS_OK && ahead) {
        /* The begins may be repeated with the same token; the history they read may lack a turn. */
        session_begin_release(followers, m);
        session_begin_clear(followers, m);
        status = redis_script_run(conn, &begin, m, err);
    }
    if (status == STATUS_OK)
        status = session_begin_from_dead(conn, &begin, m, err);
    if (status != STATUS_OK)
        session_begin_release(followers, m);
    return status;
}

/* ---- release ---- */

static void release_fill(struct redis_args *args, const void *shared, const void *of)
{
    const struct session_store_conf *conf = shared;
    const struct release_op *op = of;
    redis_args_keys(args, conf->key_prefix, op->claim.session, op->claim.job_id, false);
    redis_args_text(args, op->claim.token);
    redis_args_text(args, op->kind == RELEASE_RETRY ? "retry" : "drop");
    redis_args_number(args, session_store_keep_ms(conf));
}

static bool release_answer(void *of, const void *shared, const redisReply *reply)
{
    (void)shared;
    struct release_op *op = of;
    if (!redis_reply_is_integers(reply, 2))
        return false;
    op->held = reply->element[0]->integer == 1;
    op->fails = reply->element[1]->integer;
    return true;
}

enum status session_store_release(struct redis_conn *conn, const struct session_store_conf *conf,
                                  struct release_op *ops, size_t n, struct error *err)
{
    return redis_script_run(conn, &REDIS_SCRIPT_CALLS(&release_script, release_fill, release_answer, conf, ops), n, err);
}

/* ---- cancel ---- */

static void cancel_fill(struct redis_args *args, const void *shared, const void *of)
{
    const struct session_store_conf *conf = shared;
    const struct cancel_op *op = of;
    redis_args_keys(args, conf->key_prefix, op->claim.session, op->claim.job_id, false);
    redis_args_text(args, op->claim.token);
    redis_args_text(args, op->fingerprint);
    redis_args_text(args, op->origin);
    redis_args_text(args, op->reply);
    redis_args_number(args, conf->reply_ttl_s);
}

static bool cancel_answer(void *of, const void *shared, const redisReply *reply)
{
    (void)shared;
    struct cancel_op *op = of;
    if (!session_reply_is_array(reply, 1))
        return false;
    redisReply *const *parts = reply->element;
    if (session_reply_is_text(parts[0], "ended")) {
        op->state = CANCEL_ENDED;
    } else if (session_reply_is_text(parts[0], "other")) {
        op->state = CANCEL_OTHER;
    } else if (session_reply_is_text(parts[0], "told") && reply->elements == 2 && parts[1]->type == REDIS_REPLY_INTEGER) {
        op->state = CANCEL_REQUESTED;
        op->busy_ms = parts[1]->integer;
    } else if (session_reply_is_text(parts[0], "done") && reply->elements == 3 && session_reply_end_state(parts[1], &op->end_state)) {
        op->state = CANCEL_DONE;
        if (parts[2]->type == REDIS_REPLY_STRING)
            op->stored = xmemdup0(parts[2]->str, parts[2]->len);
    } else {
        return false;
    }
    return true;
}

void cancel_op_finish(struct cancel_op *op)
{
    free(op->stored);
    op->stored = NULL;
}

enum status session_store_cancel(struct redis_conn *conn, const struct session_store_conf *conf, struct cancel_op *ops,
                                 size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        ops[i].stored = NULL;
    enum status status = redis_script_run(conn, &REDIS_SCRIPT_CALLS(&cancel_script, cancel_fill, cancel_answer, conf, ops), n, err);
    for (size_t i = 0; i < n && status != STATUS_OK; i++)
        cancel_op_finish(&ops[i]);
    return status;
}

/* ---- renew, heartbeat ---- */

static void renew_fill(struct redis_args *args, const void *shared, const void *of)
{
    const struct session_store_conf *conf = shared;
    const struct renew_op *op = of;
    redis_args_keys(args, conf->key_prefix, op->claim.session, op->claim.job_id, false);
    redis_args_text(args, op->claim.token);
    redis_args_number(args, op->lease_ms);
}

static bool renew_answer(void *of, const void *shared, const redisReply *reply)
{
    (void)shared;
    struct renew_op *op = of;
    op->held = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    return reply->type == REDIS_REPLY_INTEGER;
}

enum status session_store_renew(struct redis_conn *conn, const struct session_store_conf *conf, struct renew_op *ops,
                                size_t n, struct error *err)
{
    return redis_script_run(conn, &REDIS_SCRIPT_CALLS(&renew_script, renew_fill, renew_answer, conf, ops), n, err);
}

enum status session_store_heartbeat(struct redis_conn *conn, const struct session_store_conf *conf, struct error *err)
{
    AUTO_FREE char *key = xasprintf("%s:alive:%s", conf->key_prefix, conf->self.id);
    struct redis_args args = {0};
    const char *const words[] = {"SET", key, "1", "PX"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        redis_args_text(&args, words[i]);
    redis_args_number(&args, conf->alive_ms);
    redisReply *reply;
    if (redis_args_append(&args, conn, err) != STATUS_OK || redis_reply_next(conn, &reply, err) != STATUS_OK)
        return STATUS_FAILED;
    enum status status = STATUS_OK;
    if (!session_reply_is_text(reply, "OK")) {
        conn->broken = true;
        status = error_set(err, ERROR_UNAVAILABLE, "redis_error", "Redis %s: heartbeat refused: %.120s",
                           redis_pool_address(conn->pool), reply->str ? reply->str : "unexpected answer");
    }
    freeReplyObject(reply);
    return status;
}
