/* Many calls of one Lua script in one pipeline, below session_store.c, which knows what the
 * scripts mean. Appends all, reads all, loads the script again once after NOSCRIPT. */
#ifndef CHAT_REDIS_REDIS_SCRIPT_H
#define CHAT_REDIS_REDIS_SCRIPT_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/decimal.h"
#include "base/error.h"
#include "redis/redis_pool.h"

/* One command's arguments. Strings are borrowed until the command is appended (hiredis copies it then);
 * keys and numbers are stored here. Reused from command to command. */
#define REDIS_ARGS_MAX 20
struct redis_args {
    int count;
    const char *value[REDIS_ARGS_MAX];
    size_t size[REDIS_ARGS_MAX];
    char numbers[8][DECIMAL_SIZE];
    int number_count;
    char *keys; /* owned */
    size_t keys_used, keys_size;
};

void redis_args_text(struct redis_args *args, const char *text); /* NULL: empty */
void redis_args_number(struct redis_args *args, int64_t number);
/* How many keys, then prefix:{TAG}:job:ID and with a session also :history, :applied and :applied2. NULL or empty
 * session: the tag is the id. One of more than 1,024 bytes is represented by its hash. `% { } :` and controls in both are percent-encoded: one tag, one slot. */
void redis_args_keys(struct redis_args *args, const char *prefix, const char *session, const char *job_id,
                     bool with_history);
/* How many keys, then prefix:KIND:{TAG}:NAME for each of names; the tag, not empty (an empty one is none), is
 * percent-encoded likewise. */
void redis_args_tagged_keys(struct redis_args *args, const char *prefix, const char *kind, const char *tag,
                            const char *const *names, size_t count);
enum status redis_args_append(struct redis_args *args, struct redis_conn *conn, struct error *err) MUST_CHECK;
void redis_args_reset(struct redis_args *args);
void redis_args_finish(struct redis_args *args);

struct redis_script {
    const char *name;
    const char *body;
    const char *sha;
    bool shared; /* its keys are shared by many jobs: their content is no single job's fault, and the call is refused until it is fixed */
};

/* Calls of one script, one for each element of an array, which contains its input and gets its answer. Made by REDIS_SCRIPT_CALLS. */
struct redis_script_calls {
    const struct redis_script *script;
    void (*fill)(struct redis_args *args, const void *shared, const void *op); /* keys and arguments of one call */
    bool (*answer)(void *op, const void *shared, const redisReply *reply); /* false: malformed */
    const void *shared; /* common input of all calls */
    void *ops;
    size_t op_size, error_at; /* offset of an element's struct error */
};

/* op_array: of a struct with a member `struct error error`. */
#define REDIS_SCRIPT_CALLS(which, fill_one, take_answer, of_all, op_array)                                             \
    (struct redis_script_calls)                                                                                        \
    {                                                                                                                  \
        .script = (which), .fill = (fill_one), .answer = (take_answer), .shared = (of_all), .ops = (op_array),         \
        .op_size = sizeof *(op_array), .error_at = offsetof(__typeof__(*(op_array)), error)                            \
    }

/* Runs the calls 0..n. Each was answered or has its own error: PERMANENT for the content of a job's keys (redis_error.h),
 * UNAVAILABLE with code redis_refused if Redis refused only this call: try it again.
 * FAILED: an outage of the server or the connection, which is marked broken; *err is UNAVAILABLE. Then calls that Redis refused
 * have their own error, and calls without an answer one of kind REDIS_ERROR_ANSWER_LOST: they may have run. */
enum status redis_script_run(struct redis_conn *conn, const struct redis_script_calls *calls, size_t n,
                             struct error *err) MUST_CHECK;
/* redis_script_run for the calls whose indices are todo[0..count); todo is changed in the process. */
enum status redis_script_run_some(struct redis_conn *conn, const struct redis_script_calls *calls, size_t *todo,
                                  size_t count, struct error *err) MUST_CHECK;

/* Does a call's own error mean that it certainly didn't run? Then it may be repeated, even if a second run would count twice. */
bool redis_script_refused(const struct error *own);

/* Runs first's calls 0..n and, after them in the same pipeline, then's calls 0..m. *ret_ahead: after a NOSCRIPT for first's,
 * then's calls ran before some of first's, and must be repeated. Fails as redis_script_run. */
enum status redis_script_run_pair(struct redis_conn *conn, const struct redis_script_calls *first, size_t n,
                                  const struct redis_script_calls *then, size_t m, bool *ret_ahead,
                                  struct error *err) MUST_CHECK;

/* Is it an array of exactly so many integers? */
bool redis_reply_is_integers(const redisReply *reply, size_t count);

/* The next reply, of a plain command: freed by the caller. FAILED: connection broken, or an outage of the
 * server. */
enum status redis_reply_next(struct redis_conn *conn, redisReply **ret, struct error *err) MUST_CHECK;

#endif
