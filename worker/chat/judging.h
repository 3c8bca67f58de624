/* What the ends of a question's calls say of its providers, and of the job: a part of the journey (journey_steps.h). Thread: the job's. Nothing blocks. */
#ifndef CHAT_CHAT_JUDGING_H
#define CHAT_CHAT_JUDGING_H

#include "breakers/blame.h"
#include "llm/llm_ask.h"
#include "task/outcome.h"
#include "task/service.h"
#include "task/task.h"

/* Reports each provider's result to the breakers. The providers are to blame only if each that was asked is. */
enum blame judge_calls(const struct service *service, struct task *task, const struct llm_outcome *outcome, const struct failure_facts *facts);

#endif
