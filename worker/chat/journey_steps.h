/* A job's journey, step by step, without its waits: what happens between them is the same whether a thread blocks (journey.c) or an event loop is called
 * back (journey_loop.c). These two contain no decision; here nothing blocks.
 *
 *   journey_begin ─▶ journey_contexts_begin ─(contexts)─▶ journey_contexts_end ─▶ journey_may_ask ─▶ journey_ask_begin ─(permit, question)─▶
 *   journey_ask_end ─▶ journey_next_later ─(take)─▶ … ─▶ journey_ask_conclude ─▶ journey_conclude
 *
 * A step that returns false ends its part of the journey: the next step is named at it. Thread: the job's. */
#ifndef CHAT_CHAT_JOURNEY_STEPS_H
#define CHAT_CHAT_JOURNEY_STEPS_H

#include "chat/request_parts.h"
#include "llm/context_fetch.h"
#include "task/outcome.h"

struct journey {
    const struct service *service;
    struct task *task;
    struct http_pool *pool; /* of the thread's or the loop's clients */
    struct http_cancel *cancel;

    /* The contexts. */
    struct context_question contexts;
    struct llm_failure contexts_failure;
    int64_t contexts_began_us;
    char *context; /* owned: the text to put before the question; NULL: none */

    /* The question. */
    struct llm_question question;
    struct request_parts parts;
    size_t candidates[PROVIDERS_MAX];
    struct llm_outcome outcome;
    int64_t asked_us; /* 0: not asked */

    /* The result, from which the job's end is made. AGAIN: it can't be asked now, and task->outcome is set. */
    enum status status;
    struct llm_answer answer;
    size_t history_left_out;
    bool history_refused;
    struct failure_facts facts; /* FAILED */
};

/* Before the claim is used: has the job an outcome already, since it was cancelled, or its claim or partition was lost? */
bool journey_is_over(const struct service *service, struct task *task);

/* The claim is held. *ret's service, task, pool and cancel are set by the caller. */
void journey_begin(struct journey *journey);

/* False: there are no contexts; go on with journey_may_ask. Else fetch journey->contexts, and set journey->status and context. */
bool journey_contexts_begin(struct journey *journey);
void journey_contexts_end(struct journey *journey);

/* False: the journey is over: journey_finish. */
bool journey_may_ask(struct journey *journey);

/* False: it can't be asked: go on with journey_conclude. Else ask journey->question, and set journey->status, answer and outcome. */
bool journey_ask_begin(struct journey *journey);
void journey_ask_end(struct journey *journey);
/* True: make journey->parts.spending.take, a later start, and call this again. */
bool journey_next_later(struct journey *journey);
void journey_ask_conclude(struct journey *journey);

/* Sets the job's outcome. */
void journey_conclude(struct journey *journey);
void journey_finish(struct journey *journey);

#endif
