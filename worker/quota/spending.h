/* What a job's calls may spend, and what they did: a provider's rate permits and the tenant's budget are reserved before each
 * call, and what was used takes their place after it.
 *
 *   spending_begin ─▶ llm_ask ─(spending_may_start, before each call)─▶ spending_ended ─▶ spending_hold when it was held up
 *                                        ... task->reservations ... ─▶ settling.h, by completion, in batches
 *
 * Waiting for a permit takes no thread: the call that may start later is reserved now, the job is parked (OUTCOME_WAIT: its
 * claim is given up, no attempt is lost), and when it comes back the reservation is there; nothing is asked for again. One
 * that comes back more than burst_ms late gives it back and asks anew, or all that a pause held up would go at once.
 *
 * Of a large estimate a burst's worth is reserved ahead (cost_tokens_ahead); one that no minute holds is refused.
 * Without limits and budgets none of this costs a Redis call.
 *
 * Every reservation is in task->reservations from its take on; completion takes them out whatever became of the job.
 *
 * Thread: the engine's; may_start and hold block up to redis.timeout_ms. */
#ifndef CHAT_QUOTA_SPENDING_H
#define CHAT_QUOTA_SPENDING_H

#include "llm/llm_ask.h"
#include "task/service.h"
#include "task/task.h"

struct spending {
    const struct service *service;
    struct task *task;
    char *tenant;     /* owned; NULL: none */
    bool limited;     /* there are permits or budgets to ask for */
    bool alone;       /* one candidate: what it can't do now is reserved for later at once */
    int64_t spare_ms; /* how long the job can wait */

    struct error *stopped; /* why no call may start any more; owned; NULL: some may */
    bool redis_away;       /* it is that */
    struct error *too_large; /* why one provider's rate can never take the question; owned; NULL: none has said so */
    size_t too_large_provider;
    int64_t budget_tokens, budget_day; /* reserved, and not yet a call's; RESERVED_NONE: none */
    struct {
        size_t provider;
        int64_t tokens;
    } *refused; /* for want of a permit, in the order of asking; owned, with room for all providers; NULL: none */
    size_t refused_count;
};

/* What to do for the question's candidates: one whose permit is reserved comes first, and goes without the turns that it was to go
 * without. May change candidates and the question's count, skipped and alone. End with spending_finish. */
void spending_begin(const struct service *service, struct task *task, size_t candidates[PROVIDERS_MAX], struct llm_question *question,
                    struct spending *ret);
void spending_finish(struct spending *spending);

/* As struct llm_question has it. */
bool spending_may_start(struct spending *spending, size_t provider, const char *body);
/* How the calls ended: for the reservations, and counted by provider, model and tenant. answer: the good one, or NULL. */
void spending_ended(struct spending *spending, const struct llm_outcome *outcome, const struct llm_answer *answer);
/* After a failure. AGAIN: task->outcome is set: it waits for its permit, or can't get one in time. FAILED: task->error says why, and
 * *in_outage whether what failed is away: as it was for a provider's failure, else of Redis. */
enum status spending_hold(struct spending *spending, const struct llm_outcome *outcome, bool *in_outage) MUST_CHECK;

#endif
