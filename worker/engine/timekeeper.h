/* One thread that owns time: hands due retries back to the dispatcher, and says every few seconds that this incarnation
 * lives. Claims are renewed elsewhere (engine/renewer.h). Blocks in Redis up to redis.timeout_ms for each of: a connection, to
 * connect, an answer. */
#ifndef CHAT_ENGINE_TIMEKEEPER_H
#define CHAT_ENGINE_TIMEKEEPER_H

#include "task/service.h"

/* How long a heartbeat is to count (session_store_conf): those of a Redis that takes its whole time-out for each answer follow in time. */
int64_t timekeeper_alive_ms(const struct settings *settings);

void *timekeeper_main(void *service);

#endif
