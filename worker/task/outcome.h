/* From what happened to what is done about it: the one place that acts on an error's class. Pure but for
 * building the texts; runs in whichever thread holds the task. */
#ifndef CHAT_TASK_OUTCOME_H
#define CHAT_TASK_OUTCOME_H

#include "task/service.h"
#include "task/task.h"

/* The good end: builds the reply and the history's turn. Takes nothing of answer. history_left_out: turns that the request went
 * without; history_refused: all of them, since every provider refused the request with them. */
void outcome_answered(struct task *task, const struct llm_answer *answer, size_t history_left_out, bool history_refused);

/* What is known of a failure beside task->error. */
struct failure_facts {
    bool in_outage;         /* the breaker of what failed is open, so it is no fault of the job's */
    bool spared;            /* nor is it where this is set, though no breaker is open: it tries again after a while */
    int64_t retry_after_ms; /* after which the provider wants to be asked again; -1: it didn't say */
    int should_retry;       /* 0, 1: whether it wants to; -1: it didn't say */
};
#define FAILURE_FACTS_NONE ((struct failure_facts){.retry_after_ms = -1, .should_retry = -1})

/* task->error is set: retry, wait, dead letter or drop, by its class, the facts, the attempts and the deadline. */
void outcome_failed(const struct service *service, struct task *task, const struct failure_facts *facts);
/* What begin answered, for a task that is not to run: stored (takes begin->reply), busy, conflict. redis_holds: Redis couldn't be asked,
 * and its breaker says when the task may start again. */
void outcome_not_begun(const struct service *service, struct task *task, struct begin_op *begin, bool redis_holds);
/* A dead end: builds the error reply. task->error says why. */
void outcome_dead(struct task *task);

/* The same where a reply was too large: what the job brought, which comes back, may be what is. */
void outcome_dead_small(struct task *task);

/* A control record asked for it: builds the reply of status cancelled. What was answered is thrown away. */
void outcome_cancelled(struct task *task);
/* False for one that has ended before, and for one that isn't ours to end any more. */
bool outcome_may_be_cancelled(enum outcome outcome);

/* True for the ends that Redis keeps: finish tells it of them, release of the others. */
bool outcome_is_final(enum outcome outcome);

#endif
