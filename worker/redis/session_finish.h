/* How ends are stored: the call of finish.lua, and its answers. A part of the session store (session_store.h), and for callers that don't block
 * (tests/bench/floor_loop.c). Pure; any thread. */
#ifndef CHAT_REDIS_SESSION_FINISH_H
#define CHAT_REDIS_SESSION_FINISH_H

#include "redis/redis_script.h"
#include "redis/session_store.h"

/* Both must outlive it. */
struct redis_script_calls session_finish_calls(const struct session_store_conf *conf, struct finish_op *ops);

#endif
