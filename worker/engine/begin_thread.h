/* Batched form: claims lane heads before a pool thread takes them, many in one pipeline, so that the pool thread
 * wakes only for the LLM call. One thread of its own. Blocks in Redis up to redis.timeout_ms. */
#ifndef CHAT_ENGINE_BEGIN_THREAD_H
#define CHAT_ENGINE_BEGIN_THREAD_H

#include "task/service.h"

void *begin_thread_main(void *service);

#endif
