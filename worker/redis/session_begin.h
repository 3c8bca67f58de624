/* How claims are begun: the call of begin.lua, its answers, and a second call for claims whose holder has no heartbeat any more.
 * A part of the session store (session_store.h): for session_store.c, which begins followers behind finishes, and for callers that don't block
 * (tests/bench/floor_loop.c). Any thread; one connection, one thread at a time; what takes one blocks up to its time-out. */
#ifndef CHAT_REDIS_SESSION_BEGIN_H
#define CHAT_REDIS_SESSION_BEGIN_H

#include <stddef.h>

#include "redis/redis_script.h"
#include "redis/session_reply.h"

/* Both must outlive it. */
struct redis_script_calls session_begin_calls(const struct session_store_conf *conf, struct begin_op *ops);
/* Before a call: clears the answers. */
void session_begin_clear(struct begin_op *ops, size_t n);
/* After a failed call: frees the operations' answers. */
void session_begin_release(struct begin_op *ops, size_t n);
/* Of claims that were busy, begins those again whose holder has died. */
enum status session_begin_from_dead(struct redis_conn *conn, const struct redis_script_calls *calls, size_t n, struct error *err) MUST_CHECK;

#endif
