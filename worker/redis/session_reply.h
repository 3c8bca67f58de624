/* What the calls of the session store (session_store.h) have in common: how long records stay, and how answers are read.
 * Private to session_store.c and session_begin.c. Pure; any thread. */
#ifndef CHAT_REDIS_SESSION_REPLY_H
#define CHAT_REDIS_SESSION_REPLY_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/session_store.h"

/* How long an unfinished record is kept after its last begin or release. */
int64_t session_store_keep_ms(const struct session_store_conf *conf);

/* Is it an array of so many elements or more? */
bool session_reply_is_array(const redisReply *reply, size_t elements);
bool session_reply_is_text(const redisReply *reply, const char *text);
/* False: not an end state. */
bool session_reply_end_state(const redisReply *reply, enum end_state *ret);
const char *session_reply_end_state_name(enum end_state state);

#endif
