/* What a job's calls may spend: a provider's rate permits and the tenant's budget are reserved before each
 * call, and settled with the tokens used after it.
 *
 *   spending_begin ─▶ llm_ask ─(spending_may_start, before each call)─▶ spending_ended ─▶ spending_next_later, spending_hold when it was held up
 *                                        ... task->reservations ... ─▶ settling.h, by completion, in batches
 *
 * Waiting for a permit takes no thread: the call that may start later is reserved now, the job is parked (OUTCOME_WAIT: its
 * claim is released, no attempt is lost), and when it runs again it uses that reservation, without another take. A job
 * that runs more than burst_ms late returns the reservation and takes a new one, or all jobs held up by a pause would call at once.
 *
 * Of a large estimate one burst is reserved ahead (cost_tokens_ahead); an estimate above a minute's limit is refused.
 * Without limits and budgets there is no Redis call.
 *
 * Every reservation is in task->reservations from its take on; completion takes them out however the job ends.
 *
 * Thread: the engine's. Nothing here blocks: takes are prepared here, and made by take_line.h, for which a thread blocks and an event loop is called
 * back. */
#ifndef CHAT_QUOTA_SPENDING_H
#define CHAT_QUOTA_SPENDING_H

#include "llm/llm_ask.h"
#include "quota/take_line.h"
#include "task/service.h"
#include "task/task.h"

struct spending {
    const struct service *service;
    struct task *task;
    char *tenant;     /* owned; NULL: none */
    bool limited;     /* rates or budgets apply */
    bool alone;       /* one candidate: if it can't start now, a later start is reserved at once */
    int64_t spare_ms; /* how long the job can wait */

    struct error *stopped; /* why no call may start any more; owned; NULL: calls may start */
    bool redis_away;       /* stopped because Redis is away */
    struct error *too_large; /* why the question exceeds a provider's rate for ever; owned; NULL: it doesn't */
    size_t too_large_provider;
    int64_t budget_tokens, budget_day; /* reserved, not yet used by a call; RESERVED_NONE: none */
    struct {
        size_t provider;
        int64_t tokens;
    } *refused; /* providers without a permit, in the order of asking; owned, with room for all; NULL: none */
    size_t refused_count;

    struct take *take; /* prepared; owned; NULL: none was yet */
    size_t take_provider;
    int64_t take_tokens;
    size_t later_at;           /* how many later starts were tried */
    struct reservation *later; /* a later start, in the task's reservations; NULL: none */
};

/* Prepares the question: a candidate with a reserved permit comes first, and the question omits the turns that the reservation was
 * made without. May change candidates and the question's count, skipped and alone. End with spending_finish. */
void spending_begin(const struct service *service, struct task *task, size_t candidates[PROVIDERS_MAX], struct llm_question *question,
                    struct spending *ret);
void spending_finish(struct spending *spending);

/* May the call begin? PENDING: spending->take is prepared; make it, then spending_took says. */
enum llm_permit spending_may_start(struct spending *spending, size_t provider, const char *body);
bool spending_took(struct spending *spending);
/* Stores the calls' ends in the reservations, and counts them by provider, model and tenant. answer: the successful one, or NULL. */
void spending_ended(struct spending *spending, const struct llm_outcome *outcome, const struct llm_answer *answer);
/* After a failure: is there a take to make, of a later start? True: it is prepared; make it, then call this again, until it is false. */
bool spending_next_later(struct spending *spending, const struct llm_outcome *outcome);
/* After that. AGAIN: task->outcome is set: the job waits for its permit, or can't get one in time. FAILED: task->error is set;
 * *in_outage is unchanged for a provider's failure, else true if Redis is away. */
enum status spending_hold(struct spending *spending, const struct llm_outcome *outcome, bool *in_outage) MUST_CHECK;

#endif
