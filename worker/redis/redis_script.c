#include "redis/redis_script.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/decimal.h"
#include "redis/redis_error.h"
#include "redis/redis_silence.h"

#define TAG_BYTES_MAX 1024
#define HASH_SIZE 40

static void args_bytes(struct redis_args *args, const char *bytes, size_t size)
{
    assert(args->count < REDIS_ARGS_MAX);
    args->value[args->count] = bytes;
    args->size[args->count++] = size;
}

void redis_args_text(struct redis_args *args, const char *text)
{
    args_bytes(args, text ? text : "", text ? strlen(text) : 0);
}

void redis_args_number(struct redis_args *args, int64_t number)
{
    assert(args->number_count < (int)(sizeof args->numbers / sizeof *args->numbers));
    char *text = args->numbers[args->number_count++];
    args_bytes(args, text, decimal_write(number, text));
}

static char *put(char *to, const char *text)
{
    return stpcpy(to, text);
}

static char *put_encoded(char *to, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == 0x7f || strchr("%{}:", *c))
            to += sprintf(to, "%%%02X", *c);
        else
            *to++ = (char)*c;
    }
    *to = '\0';
    return to;
}

/* Room for all keys of a command at once: the arguments point into it, so it must not move afterwards. */
static void keys_room(struct redis_args *args, size_t need)
{
    args->keys_used = 0;
    args->keys = xgrow(args->keys, &args->keys_size, need, 1);
}

static void key_end(struct redis_args *args, const char *start, const char *end)
{
    args_bytes(args, start, (size_t)(end - start));
    args->keys_used += (size_t)(end - start) + 1;
}

/* prefix:{tag}kind[id] */
static void put_key(struct redis_args *args, const char *prefix, const char *tag, const char *kind, const char *id)
{
    char *start = args->keys + args->keys_used;
    char *to = put(put(start, prefix), ":{");
    to = put(put(put_encoded(to, tag), "}"), kind);
    if (id)
        to = put_encoded(to, id);
    key_end(args, start, to);
}

/* Keys of a megabyte would be sent three times with each of a batch's commands. */
static const char *short_tag(const char *tag, char hash[HASH_SIZE])
{
    if (strlen(tag) <= TAG_BYTES_MAX)
        return tag;
    XXH128_hash_t of_tag = XXH3_128bits(tag, strlen(tag));
    snprintf(hash, HASH_SIZE, "xxh3-%016" PRIx64 "%016" PRIx64, (uint64_t)of_tag.high64, (uint64_t)of_tag.low64);
    return hash;
}

void redis_args_keys(struct redis_args *args, const char *prefix, const char *session, const char *job_id,
                     bool with_history)
{
    char hash[HASH_SIZE];
    bool has_session = session && *session;
    const char *tag = short_tag(has_session ? session : job_id, hash);
    keys_room(args, 4 * (strlen(prefix) + 3 * strlen(tag) + 16) + 3 * strlen(job_id));
    with_history = with_history && has_session;
    redis_args_text(args, with_history ? "4" : "1");
    put_key(args, prefix, tag, ":job:", job_id);
    if (with_history) {
        put_key(args, prefix, tag, ":history", NULL);
        put_key(args, prefix, tag, ":applied", NULL);
        put_key(args, prefix, tag, ":applied2", NULL);
    }
}

void redis_args_tagged_keys(struct redis_args *args, const char *prefix, const char *kind, const char *tag,
                            const char *const *names, size_t count)
{
    size_t need = count * (strlen(prefix) + strlen(kind) + 3 * strlen(tag) + sizeof ":" ":{" "}:");
    for (size_t i = 0; i < count; i++)
        need += strlen(names[i]);
    keys_room(args, need);
    redis_args_number(args, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        char *start = args->keys + args->keys_used;
        char *to = put(put(put(put(start, prefix), ":"), kind), ":{");
        key_end(args, start, put(put(put_encoded(to, tag), "}:"), names[i]));
    }
}

#define RESP_COUNT_SIZE (1 + DECIMAL_SIZE + 2) /* a sign, a number, the line's end */

static char *put_count(char *to, char sign, size_t count)
{
    *to++ = sign;
    to += decimal_write((int64_t)count, to);
    return put(to, "\r\n");
}

/* In RESP: the count, then each argument with its size. redisAppendCommandArgv formats them piece by piece, at four times
 * the instructions. */
enum status redis_args_append(struct redis_args *args, struct redis_conn *conn, struct error *err)
{
    size_t room = RESP_COUNT_SIZE;
    for (int i = 0; i < args->count; i++)
        room += RESP_COUNT_SIZE + args->size[i] + 2;
    AUTO_FREE char *command = xrealloc(NULL, room);
    char *to = put_count(command, '*', (size_t)args->count);
    for (int i = 0; i < args->count; i++) {
        to = put_count(to, '$', args->size[i]);
        memcpy(to, args->value[i], args->size[i]);
        to = put(to + args->size[i], "\r\n");
    }
    if (redisAppendFormattedCommand(conn->context, command, (size_t)(to - command)) == REDIS_OK)
        return STATUS_OK;
    conn->broken = true;
    return redis_wait_failed(&(struct redis_wait){.address = redis_pool_address(conn->pool), .timeout_ms = redis_pool_timeout_ms(conn->pool)}, conn->context,
                             "redis_io", err);
}

void redis_args_reset(struct redis_args *args)
{
    args->count = 0;
    args->number_count = 0;
    args->keys_used = 0;
}

void redis_args_finish(struct redis_args *args)
{
    free(args->keys);
}

/* The answer is lost: Redis may have run the call. */
static enum status set_lost(struct error *err, const char *message)
{
    (void)error_set(err, ERROR_UNAVAILABLE, REDIS_CODE_ANSWER_LOST, "%s", message);
    err->kind = REDIS_ERROR_ANSWER_LOST;
    return STATUS_FAILED;
}

static enum status reply_read(struct redis_conn *conn, redisReply **ret, struct error *err)
{
    if (redisGetReply(conn->context, (void **)ret) == REDIS_OK)
        return STATUS_OK;
    conn->broken = true;
    (void)redis_wait_failed(&(struct redis_wait){.address = redis_pool_address(conn->pool), .timeout_ms = redis_pool_timeout_ms(conn->pool)}, conn->context,
                            REDIS_CODE_ANSWER_LOST, err);
    err->kind = REDIS_ERROR_ANSWER_LOST;
    return STATUS_FAILED;
}

/* Does the error concern the whole server, whatever the call? A missing right does, too. */
static bool is_servers(enum redis_error_kind kind)
{
    return kind == REDIS_ERROR_OUTAGE || kind == REDIS_ERROR_SETTINGS;
}

enum status redis_reply_next(struct redis_conn *conn, redisReply **ret, struct error *err)
{
    redisReply *reply = NULL;
    if (reply_read(conn, &reply, err) != STATUS_OK)
        return STATUS_FAILED;
    if (reply->type == REDIS_REPLY_ERROR && is_servers(redis_error_kind(reply->str))) {
        conn->broken = true;
        (void)redis_error_set(err, redis_pool_address(conn->pool), NULL, reply->str);
        freeReplyObject(reply);
        return STATUS_FAILED;
    }
    *ret = reply;
    return STATUS_OK;
}

bool redis_reply_is_integers(const redisReply *reply, size_t count)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (reply->element[i]->type != REDIS_REPLY_INTEGER)
            return false;
    return true;
}

static void *op_at(const struct redis_script_calls *calls, size_t index)
{
    return (char *)calls->ops + index * calls->op_size;
}

static struct error *error_at(const struct redis_script_calls *calls, size_t index)
{
    return (struct error *)((char *)op_at(calls, index) + calls->error_at);
}

static enum status append_all(struct redis_conn *conn, const struct redis_script_calls *calls, const size_t *todo,
                              size_t count, bool load, struct error *err)
{
    struct redis_args args = {0};
    enum status status = STATUS_OK;
    if (load) {
        redis_args_text(&args, "SCRIPT");
        redis_args_text(&args, "LOAD");
        redis_args_text(&args, calls->script->body);
        status = redis_args_append(&args, conn, err);
    }
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        redis_args_reset(&args);
        redis_args_text(&args, "EVALSHA");
        redis_args_text(&args, calls->script->sha);
        calls->fill(&args, calls->shared, op_at(calls, todo[i]));
        status = redis_args_append(&args, conn, err);
    }
    redis_args_finish(&args);
    return status;
}

static enum status read_load(struct redis_conn *conn, const struct redis_script_calls *calls, struct error *err)
{
    redisReply *reply;
    if (redis_reply_next(conn, &reply, err) != STATUS_OK)
        return STATUS_FAILED;
    enum status status = STATUS_OK;
    if (reply->type != REDIS_REPLY_STRING || strcmp(reply->str, calls->script->sha) != 0) {
        conn->broken = true;
        status = error_set(err, ERROR_UNAVAILABLE, "redis_script", "Redis %s doesn't load the script %s: %.120s",
                           redis_pool_address(conn->pool), calls->script->name, reply->str ? reply->str : "no text");
    }
    freeReplyObject(reply);
    return status;
}

/* Their answers were under way when the connection ended: Redis may have run them. */
static void set_unknown(const struct redis_script_calls *calls, const size_t *todo, size_t count, const struct error *why)
{
    for (size_t i = 0; i < count; i++)
        (void)set_lost(error_at(calls, todo[i]), why->message);
}

bool redis_script_refused(const struct error *own)
{
    return own->class == ERROR_UNAVAILABLE && own->kind != REDIS_ERROR_ANSWER_LOST;
}

/* Keeps calls that got NOSCRIPT in todo, and counts them. Reads on after a reply that means an outage, so that
 * the results of the other calls are known. */
static enum status read_all(struct redis_conn *conn, const struct redis_script_calls *calls, size_t *todo,
                            size_t count, size_t *ret_left, struct error *err)
{
    const char *address = redis_pool_address(conn->pool);
    enum status status = STATUS_OK;
    *ret_left = 0;
    for (size_t i = 0; i < count; i++) {
        redisReply *reply;
        if (reply_read(conn, &reply, err) != STATUS_OK) {
            set_unknown(calls, todo + i, count - i, err);
            return STATUS_FAILED;
        }
        struct error *own = error_at(calls, todo[i]);
        own->class = ERROR_NONE;
        if (reply->type == REDIS_REPLY_ERROR) {
            enum redis_error_kind kind = redis_error_kind(reply->str);
            (void)redis_error_set(own, address, calls->script->name, reply->str);
            if (kind == REDIS_ERROR_DATA && calls->script->shared) {
                own->class = ERROR_UNAVAILABLE;
                own->kind = REDIS_ERROR_UNKNOWN;
                snprintf(own->code, sizeof own->code, "%s", REDIS_CODE_REFUSED);
            }
            if (kind == REDIS_ERROR_SCRIPT_LOST)
                todo[(*ret_left)++] = todo[i];
            if (is_servers(kind)) {
                conn->broken = true;
                *err = *own;
                status = STATUS_FAILED;
            }
        } else if (!calls->answer(op_at(calls, todo[i]), calls->shared, reply)) {
            char message[sizeof own->message];
            snprintf(message, sizeof message, "Redis %s, script %s: unexpected answer", address, calls->script->name);
            (void)set_lost(own, message);
        }
        freeReplyObject(reply);
    }
    return status;
}

/* Runs the calls that got NOSCRIPT in the first round, with SCRIPT LOAD in the same pipeline. A third round follows
 * only if the scripts are flushed meanwhile. */
static enum status run_left(struct redis_conn *conn, const struct redis_script_calls *calls, size_t *todo, size_t count,
                            struct error *err)
{
    for (int round = 0; round < 2 && count; round++) {
        if (append_all(conn, calls, todo, count, true, err) != STATUS_OK || read_load(conn, calls, err) != STATUS_OK) {
            set_unknown(calls, todo, count, err);
            return STATUS_FAILED;
        }
        if (read_all(conn, calls, todo, count, &count, err) != STATUS_OK)
            return STATUS_FAILED;
    }
    if (count == 0)
        return STATUS_OK;
    conn->broken = true;
    return error_set(err, ERROR_UNAVAILABLE, "redis_script", "Redis %s loses its scripts as fast as they are loaded",
                     redis_pool_address(conn->pool));
}

enum status redis_script_run_some(struct redis_conn *conn, const struct redis_script_calls *calls, size_t *todo,
                                  size_t count, struct error *err)
{
    if (append_all(conn, calls, todo, count, false, err) != STATUS_OK ||
        read_all(conn, calls, todo, count, &count, err) != STATUS_OK)
        return STATUS_FAILED;
    return run_left(conn, calls, todo, count, err);
}

static size_t *indices(size_t n)
{
    size_t *all = xcalloc(n, sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = i;
    return all;
}

enum status redis_script_run(struct redis_conn *conn, const struct redis_script_calls *calls, size_t n,
                             struct error *err)
{
    AUTO_FREE size_t *todo = indices(n);
    return redis_script_run_some(conn, calls, todo, n, err);
}

enum status redis_script_run_pair(struct redis_conn *conn, const struct redis_script_calls *first, size_t n,
                                  const struct redis_script_calls *then, size_t m, bool *ret_ahead,
                                  struct error *err)
{
    AUTO_FREE size_t *first_todo = indices(n);
    AUTO_FREE size_t *then_todo = indices(m);
    if (append_all(conn, first, first_todo, n, false, err) != STATUS_OK ||
        append_all(conn, then, then_todo, m, false, err) != STATUS_OK ||
        read_all(conn, first, first_todo, n, &n, err) != STATUS_OK ||
        read_all(conn, then, then_todo, m, &m, err) != STATUS_OK)
        return STATUS_FAILED;
    *ret_ahead = n > 0;
    if (run_left(conn, first, first_todo, n, err) != STATUS_OK)
        return STATUS_FAILED;
    return run_left(conn, then, then_todo, m, err);
}
