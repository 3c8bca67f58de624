/* The journey of one job, as a straight line of blocking calls:
 *
 *   session_begin (Redis) -> context_fetch, llm_ask (HTTP, seconds) -> hand over to completion (finish, publish)
 *
 * In the batched form session_begin was answered by the begin thread and completion does the finish, so
 * that the pool thread blocks on the LLM alone, unless the next job of the lane waits already: then the thread itself sends
 * the first job's finish and the next job's begin to Redis, in one round trip. In the per-thread form the thread makes its own Redis
 * calls, here, through the pool. In both, a provider with a rate or a tenant with a budget costs one more Redis call before the
 * question (quota/spending.h). */
#ifndef CHAT_CHAT_JOURNEY_H
#define CHAT_CHAT_JOURNEY_H

#include "task/service.h"
#include "task/task.h"

/* Pool thread. Runs the task to its outcome and gives it to completion; *task is NULL then. Returns the next job of its lane, begun, for the
 * thread to run, or NULL. */
struct task *journey_run(const struct service *service, struct task **task, struct http_cancel *cancel);

#endif
