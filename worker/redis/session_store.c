#include "redis/session_store.h"

#include <assert.h>
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
#include "wire/history.h"
#include "redis_scripts.h"

/* An unfinished record stays at least so long after its last begin or release. */
#define UNFINISHED_KEEP_MS_MIN (24 * 3600 * INT64_C(1000))

static const struct redis_script begin_script = {"begin", script_begin, script_begin_sha, false};
static const struct redis_script finish_script = {"finish", script_finish, script_finish_sha, false};
static const struct redis_script release_script = {"release", script_release, script_release_sha, false};
static const struct redis_script cancel_script = {"cancel", script_cancel, script_cancel_sha, false};
static const struct redis_script renew_script = {"renew", script_renew, script_renew_sha, false};

static const char *const end_state_names[] = {[END_OK] = "ok", [END_DEAD] = "dead", [END_CANCELLED] = "cancelled"};

/* What the callbacks of one call see. */
struct batch {
    const struct session_store_conf *conf;
    void *ops;
};

void session_store_token(char out[33])
{
    uint64_t random[2];
    while (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        if (errno != EINTR)
            abort(); /* a guessable token could finish another's claim */
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
}

static int64_t unfinished_keep_ms(const struct session_store_conf *conf)
{
    int64_t reply_ms = conf->reply_ttl_s * 1000;
    return conf->lease_ms + (reply_ms > UNFINISHED_KEEP_MS_MIN ? reply_ms : UNFINISHED_KEEP_MS_MIN);
}

static bool is_array(const redisReply *reply, size_t elements)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements >= elements;
}

static bool is_text(const redisReply *reply, const char *text)
{
    return (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) && strcmp(reply->str, text) == 0;
}

static bool end_state_read(const redisReply *reply, enum end_state *ret)
{
    for (size_t i = 0; i < sizeof end_state_names / sizeof *end_state_names; i++)
        if (is_text(reply, end_state_names[i])) {
            *ret = (enum end_state)i;
            return true;
        }
    return false;
}

/* ---- begin ---- */

static void begin_fill(struct redis_args *args, void *batch_arg, size_t index)
{
    const struct batch *batch = batch_arg;
    const struct session_store_conf *conf = batch->conf;
    const struct begin_op *op = (const struct begin_op *)batch->ops + index;
    redis_args_keys(args, conf->key_prefix, op->claim.session, op->claim.job_id, true);
    redis_args_text(args, op->claim.token);
    redis_args_text(args, op->fingerprint);
    redis_args_text(args, op->origin);
    redis_args_text(args, conf->self.id);
    redis_args_text(args, conf->self.instance);
    redis_args_number(args, conf->self.started_ms);
    redis_args_number(args, conf->lease_ms);
    redis_args_text(args, op->claim.job_id);
    redis_args_text(args, op->holder); /* empty in the first pass: nobody is presumed dead */
    redis_args_number(args, unfinished_keep_ms(conf));
    redis_args_number(args, op->crashes_max > 1 ? op->crashes_max : 1);
    redis_args_number(args, conf->history_bytes_max);
    redis_args_number(args, op->keep_seen ? op->seen_ago_ms : -1);
}

static bool run_read(struct begin_op *op, const redisReply *reply)
{
    if (!is_array(reply, 7) || reply->element[5]->type != REDIS_REPLY_ARRAY || reply->element[6]->type != REDIS_REPLY_INTEGER)
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
    op->holder[0] = '\0'; /* set when it was taken from one presumed dead */
    op->state = BEGIN_RUN;
    return true;
}

static bool begin_answer(void *batch_arg, size_t index, const redisReply *reply)
{
    const struct batch *batch = batch_arg;
    struct begin_op *op = (struct begin_op *)batch->ops + index;
    if (!is_array(reply, 1))
        return false;
    redisReply *const *parts = reply->element;
    if (is_text(parts[0], "run"))
        return run_read(op, reply);
    if (is_text(parts[0], "suspect") && reply->elements == 2 && parts[1]->type == REDIS_REPLY_INTEGER) {
        op->state = BEGIN_SUSPECT;
        op->crashes = parts[1]->integer;
        return true;
    }
    if (is_text(parts[0], "conflict")) {
        op->state = BEGIN_CONFLICT;
        return true;
    }
    if (is_text(parts[0], "done") && reply->elements == 3 && end_state_read(parts[1], &op->end_state)) {
        op->state = BEGIN_DONE;
        if (parts[2]->type == REDIS_REPLY_STRING)
            op->reply = xmemdup0(parts[2]->str, parts[2]->len);
        return true;
    }
    if (!is_text(parts[0], "busy") || reply->elements != 3 || parts[1]->type != REDIS_REPLY_INTEGER ||
        parts[2]->type != REDIS_REPLY_STRING)
        return false;
    op->state = BEGIN_BUSY;
    op->busy_ms = parts[1]->integer;
    snprintf(op->holder, sizeof op->holder, "%s", parts[2]->str);
    op->holder_is_self = strcmp(op->holder, batch->conf->self.id) == 0;
    return true;
}

static struct error *begin_error(void *batch_arg, size_t index)
{
    return &((struct begin_op *)((struct batch *)batch_arg)->ops + index)->error;
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

/* Asks for the heartbeats of busy[0..*count) and leaves those whose holder has none. A live one is asked again
 * at the latest when its heartbeat could have ended. */
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

/* Begins again, for busy answers alone, those whose holder has died. */
static enum status take_from_dead(struct redis_conn *conn, const struct redis_script_calls *calls, size_t n,
                                  struct error *err)
{
    const struct batch *batch = calls->ops;
    struct begin_op *ops = batch->ops;
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
    if (heartbeats_check(conn, batch->conf, ops, busy, &count, err) != STATUS_OK)
        return STATUS_FAILED;
    return redis_script_run_some(conn, calls, busy, count, err);
}

static void begin_ops_clear(struct begin_op *ops, size_t n)
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

static void begin_ops_release(struct begin_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        begin_op_finish(&ops[i]);
}

enum status session_store_begin(struct redis_conn *conn, const struct session_store_conf *conf, struct begin_op *ops,
                                size_t n, struct error *err)
{
    struct batch batch = {conf, ops};
    struct redis_script_calls calls = {&begin_script, begin_fill, begin_answer, begin_error, &batch};
    begin_ops_clear(ops, n);
    if (redis_script_run(conn, &calls, n, err) == STATUS_OK && take_from_dead(conn, &calls, n, err) == STATUS_OK)
        return STATUS_OK;
    begin_ops_release(ops, n);
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

/* ---- finish ---- */

static void finish_fill(struct redis_args *args, void *batch_arg, size_t index)
{
    const struct batch *batch = batch_arg;
    const struct session_store_conf *conf = batch->conf;
    const struct finish_op *op = (const struct finish_op *)batch->ops + index;
    redis_args_keys(args, conf->key_prefix, op->claim.session, op->claim.job_id, true);
    redis_args_text(args, op->claim.token);
    redis_args_text(args, end_state_names[op->end_state]);
    redis_args_text(args, op->reply);
    redis_args_text(args, op->turn);
    redis_args_text(args, op->fingerprint);
    redis_args_text(args, op->origin);
    redis_args_text(args, op->claim.job_id);
    redis_args_number(args, conf->history_turns_max);
    redis_args_number(args, conf->session_ttl_s);
    redis_args_number(args, conf->reply_ttl_s);
    redis_args_number(args, op->claim.claim_epoch);
    assert(conf->applied_max > 0);
    redis_args_number(args, conf->applied_max);
}

static bool finish_answer(void *batch_arg, size_t index, const redisReply *reply)
{
    struct finish_op *op = (struct finish_op *)((struct batch *)batch_arg)->ops + index;
    if (is_text(reply, "done"))
        op->state = FINISH_DONE;
    else if (is_text(reply, "lost"))
        op->state = FINISH_LOST;
    else if (is_text(reply, "cancelled"))
        op->state = FINISH_CANCELLED;
    else
        return false;
    return true;
}

static struct error *finish_error(void *batch_arg, size_t index)
{
    return &((struct finish_op *)((struct batch *)batch_arg)->ops + index)->error;
}

enum status session_store_finish(struct redis_conn *conn, const struct session_store_conf *conf,
                                 struct finish_op *ends, size_t n, struct begin_op *followers, size_t m,
                                 struct error *err)
{
    struct batch end_batch = {conf, ends};
    struct batch begin_batch = {conf, followers};
    struct redis_script_calls finish = {&finish_script, finish_fill, finish_answer, finish_error, &end_batch};
    struct redis_script_calls begin = {&begin_script, begin_fill, begin_answer, begin_error, &begin_batch};
    bool ahead = false;
    begin_ops_clear(followers, m);
    enum status status = redis_script_run_pair(conn, &finish, n, &begin, m, &ahead, err);
    if (status == STATUS_OK && ahead) {
        /* Under the same token a begin may be repeated; what it read may lack a turn. */
        begin_ops_release(followers, m);
        begin_ops_clear(followers, m);
        status = redis_script_run(conn, &begin, m, err);
    }
    if (status == STATUS_OK)
        status = take_from_dead(conn, &begin, m, err);
    if (status != STATUS_OK)
        begin_ops_release(followers, m);
    return status;
}

/* ---- release ---- */

static void release_fill(struct redis_args *args, void *batch_arg, size_t index)
{
    const struct batch *batch = batch_arg;
    const struct release_op *op = (const struct release_op *)batch->ops + index;
    redis_args_keys(args, batch->conf->key_prefix, op->claim.session, op->claim.job_id, false);
    redis_args_text(args, op->claim.token);
    redis_args_text(args, op->kind == RELEASE_RETRY ? "retry" : "drop");
    redis_args_number(args, unfinished_keep_ms(batch->conf));
}

static bool release_answer(void *batch_arg, size_t index, const redisReply *reply)
{
    struct release_op *op = (struct release_op *)((struct batch *)batch_arg)->ops + index;
    if (!is_array(reply, 2) || reply->element[0]->type != REDIS_REPLY_INTEGER ||
        reply->element[1]->type != REDIS_REPLY_INTEGER)
        return false;
    op->held = reply->element[0]->integer == 1;
    op->fails = reply->element[1]->integer;
    return true;
}

static struct error *release_error(void *batch_arg, size_t index)
{
    return &((struct release_op *)((struct batch *)batch_arg)->ops + index)->error;
}

enum status session_store_release(struct redis_conn *conn, const struct session_store_conf *conf,
                                  struct release_op *ops, size_t n, struct error *err)
{
    struct batch batch = {conf, ops};
    return redis_script_run(
        conn, &(struct redis_script_calls){&release_script, release_fill, release_answer, release_error, &batch}, n, err);
}

/* ---- cancel ---- */

static void cancel_fill(struct redis_args *args, void *batch_arg, size_t index)
{
    const struct batch *batch = batch_arg;
    const struct cancel_op *op = (const struct cancel_op *)batch->ops + index;
    redis_args_keys(args, batch->conf->key_prefix, op->claim.session, op->claim.job_id, false);
    redis_args_text(args, op->claim.token);
    redis_args_text(args, op->fingerprint);
    redis_args_text(args, op->origin);
    redis_args_text(args, op->reply);
    redis_args_number(args, batch->conf->reply_ttl_s);
}

static bool cancel_answer(void *batch_arg, size_t index, const redisReply *reply)
{
    struct cancel_op *op = (struct cancel_op *)((struct batch *)batch_arg)->ops + index;
    if (!is_array(reply, 1))
        return false;
    redisReply *const *parts = reply->element;
    if (is_text(parts[0], "ended")) {
        op->state = CANCEL_ENDED;
    } else if (is_text(parts[0], "other")) {
        op->state = CANCEL_OTHER;
    } else if (is_text(parts[0], "told") && reply->elements == 2 && parts[1]->type == REDIS_REPLY_INTEGER) {
        op->state = CANCEL_REQUESTED;
        op->busy_ms = parts[1]->integer;
    } else if (is_text(parts[0], "done") && reply->elements == 3 && end_state_read(parts[1], &op->end_state)) {
        op->state = CANCEL_DONE;
        if (parts[2]->type == REDIS_REPLY_STRING)
            op->stored = xmemdup0(parts[2]->str, parts[2]->len);
    } else {
        return false;
    }
    return true;
}

static struct error *cancel_error(void *batch_arg, size_t index)
{
    return &((struct cancel_op *)((struct batch *)batch_arg)->ops + index)->error;
}

void cancel_op_finish(struct cancel_op *op)
{
    free(op->stored);
    op->stored = NULL;
}

enum status session_store_cancel(struct redis_conn *conn, const struct session_store_conf *conf, struct cancel_op *ops,
                                 size_t n, struct error *err)
{
    struct batch batch = {conf, ops};
    for (size_t i = 0; i < n; i++)
        ops[i].stored = NULL;
    enum status status = redis_script_run(
        conn, &(struct redis_script_calls){&cancel_script, cancel_fill, cancel_answer, cancel_error, &batch}, n, err);
    for (size_t i = 0; i < n && status != STATUS_OK; i++)
        cancel_op_finish(&ops[i]);
    return status;
}

/* ---- renew, heartbeat ---- */

static void renew_fill(struct redis_args *args, void *batch_arg, size_t index)
{
    const struct batch *batch = batch_arg;
    const struct renew_op *op = (const struct renew_op *)batch->ops + index;
    redis_args_keys(args, batch->conf->key_prefix, op->claim.session, op->claim.job_id, false);
    redis_args_text(args, op->claim.token);
    redis_args_number(args, op->lease_ms);
}

static bool renew_answer(void *batch_arg, size_t index, const redisReply *reply)
{
    struct renew_op *op = (struct renew_op *)((struct batch *)batch_arg)->ops + index;
    op->held = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    return reply->type == REDIS_REPLY_INTEGER;
}

static struct error *renew_error(void *batch_arg, size_t index)
{
    return &((struct renew_op *)((struct batch *)batch_arg)->ops + index)->error;
}

enum status session_store_renew(struct redis_conn *conn, const struct session_store_conf *conf, struct renew_op *ops,
                                size_t n, struct error *err)
{
    struct batch batch = {conf, ops};
    return redis_script_run(
        conn, &(struct redis_script_calls){&renew_script, renew_fill, renew_answer, renew_error, &batch}, n, err);
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
    if (!is_text(reply, "OK")) {
        conn->broken = true;
        status = error_set(err, ERROR_UNAVAILABLE, "redis_error", "Redis %s: heartbeat refused: %.120s",
                           redis_pool_address(conn->pool), reply->str ? reply->str : "unexpected answer");
    }
    freeReplyObject(reply);
    return status;
}
