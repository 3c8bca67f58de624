/* Fetching a job's contexts as a state machine: which source is asked when, and what an end means for the others. Pure, like
 * question.h: its owner (context_fetch.c: a thread that blocks) carries out each step, reports the result, and asks for the next.
 *
 *   context_next ─▶ START ─▶ context_ended      WAIT for an end      DROP (cancel)         DONE, FAILED: over
 *
 * A source is asked once; each START has one end, by context_ended or by DROP; a required source that fails, or one that refuses the job,
 * ends the whole. */
#ifndef CHAT_LLM_CONTEXT_STEPS_H
#define CHAT_LLM_CONTEXT_STEPS_H

#include <stdbool.h>
#include <stddef.h>

#include "settings/settings.h"

enum context_place { CONTEXT_UNASKED, CONTEXT_RUNNING, CONTEXT_OVER };

/* Private. */
struct context_steps {
    size_t count;   /* sources, in the order of llm.contexts */
    size_t abreast; /* how many may be under way at once */
    size_t next, running;
    enum { CONTEXTS_OPEN, CONTEXTS_FAILED, CONTEXTS_CANCELLED } verdict;
    enum context_place places[CONTEXTS_MAX];
};

/* count: CONTEXTS_MAX at most. */
void context_steps_init(struct context_steps *steps, size_t count, enum context_fetch fetching);

enum context_action {
    CONTEXT_START, /* ends by context_ended, also if it can't begin */
    CONTEXT_WAIT,  /* until a call ends */
    CONTEXT_DROP,  /* cancel the call: no context_ended follows */
    CONTEXT_DONE,  /* all have ended, and none of them ends the job */
    CONTEXT_FAILED /* a source ended the job, or it was cancelled */
};

struct context_step {
    enum context_action action;
    size_t source; /* START, DROP */
};

struct context_step context_next(struct context_steps *steps);

/* A source's call has ended; ends_job: it was required and failed, or it refused the job. False: the result was decided before. */
bool context_ended(struct context_steps *steps, size_t source, bool ends_job);
/* Cancels the rest. */
void context_cancel(struct context_steps *steps);

#endif
