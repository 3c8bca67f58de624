/* One thread that owns time: hands due retries back to the dispatcher, renews held claims in pipelined
 * batches (every third of a lease, never beyond the job's budget and a grace), and says every few seconds
 * that this incarnation lives. Blocks in Redis up to redis.timeout_ms. */
#ifndef CHAT_CHAT_TIMEKEEPER_H
#define CHAT_CHAT_TIMEKEEPER_H

#include "service.h"

void *timekeeper_main(void *service);

#endif
