/* Which providers a job asks, and in which order: a part of the journey (journey_steps.h). Thread: the job's. Nothing blocks. */
#ifndef CHAT_CHAT_PROVIDER_CHOICE_H
#define CHAT_CHAT_PROVIDER_CHOICE_H

#include "task/service.h"
#include "task/task.h"

/* Which providers to ask, by preference: those of llm.providers that aren't away and can answer in time; last those without a free slot now,
 * which may have one when their turn comes. Returns how many, at least one. *ret_in_time: NEVER or LATER where all that could be asked take too long. */
size_t choose_providers(const struct service *service, const struct task *task, int64_t left_ms, int64_t now_ms, size_t candidates[PROVIDERS_MAX],
                        enum in_time *ret_in_time);

#endif
