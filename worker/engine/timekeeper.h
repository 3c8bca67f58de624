/* The timer thread: hands due retries back to the dispatcher, writes a heartbeat of this incarnation to Redis every few
 * seconds, and replaces a producer of deltas that failed. Claims are renewed elsewhere (engine/renewer.h). Blocks in Redis up to
 * redis.timeout_ms each: for a connection of the pool, to connect, for an answer; some ms where a producer is made. */
#ifndef CHAT_ENGINE_TIMEKEEPER_H
#define CHAT_ENGINE_TIMEKEEPER_H

#include "task/service.h"

/* How long a heartbeat is valid (session_store_conf): long enough that the next one is in time even if Redis takes its whole time-out for each answer. */
int64_t timekeeper_alive_ms(const struct settings *settings);

void *timekeeper_main(void *service);

#endif
