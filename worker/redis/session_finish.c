#include "redis/session_finish.h"

#include <assert.h>

#include "redis/session_reply.h"
#include "redis_scripts.h"

static const struct redis_script finish_script = {"finish", script_finish, script_finish_sha, false};

static void fill(struct redis_args *args, const void *shared, const void *of)
{
    const struct session_store_conf *conf = shared;
    const struct finish_op *op = of;
    redis_args_keys(args, conf->key_prefix, op->claim.session, op->claim.job_id, true);
    redis_args_text(args, op->claim.token);
    redis_args_text(args, session_reply_end_state_name(op->end_state));
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

static bool answer(void *of, const void *shared, const redisReply *reply)
{
    (void)shared;
    struct finish_op *op = of;
    if (session_reply_is_text(reply, "done"))
        op->state = FINISH_DONE;
    else if (session_reply_is_text(reply, "lost"))
        op->state = FINISH_LOST;
    else if (session_reply_is_text(reply, "cancelled"))
        op->state = FINISH_CANCELLED;
    else
        return false;
    return true;
}

struct redis_script_calls session_finish_calls(const struct session_store_conf *conf, struct finish_op *ops)
{
    return REDIS_SCRIPT_CALLS(&finish_script, fill, answer, conf, ops);
}
