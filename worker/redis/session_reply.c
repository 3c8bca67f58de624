#include "redis/session_reply.h"

#include <string.h>

#define UNFINISHED_KEEP_MS_MIN (24 * 3600 * INT64_C(1000)) /* even if replies are kept for less */

static const char *const end_state_names[] = {[END_OK] = "ok", [END_DEAD] = "dead", [END_CANCELLED] = "cancelled"};

int64_t session_store_keep_ms(const struct session_store_conf *conf)
{
    int64_t reply_ms = conf->reply_ttl_s * 1000;
    return conf->lease_ms + (reply_ms > UNFINISHED_KEEP_MS_MIN ? reply_ms : UNFINISHED_KEEP_MS_MIN);
}

bool session_reply_is_array(const redisReply *reply, size_t elements)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements >= elements;
}

bool session_reply_is_text(const redisReply *reply, const char *text)
{
    return (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) && strcmp(reply->str, text) == 0;
}

bool session_reply_end_state(const redisReply *reply, enum end_state *ret)
{
    for (size_t i = 0; i < sizeof end_state_names / sizeof *end_state_names; i++)
        if (session_reply_is_text(reply, end_state_names[i])) {
            *ret = (enum end_state)i;
            return true;
        }
    return false;
}

const char *session_reply_end_state_name(enum end_state state)
{
    return end_state_names[state];
}
