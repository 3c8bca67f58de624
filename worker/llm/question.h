/* A question to several providers as a state machine: which provider to ask and when, what the end of a call means, whose stream is published.
 * Pure: events in, actions out; no I/O, no clock, no lock. Its owner (llm_ask.c: a thread that blocks) makes the calls:
 *
 *   question_next ─▶ PERMIT ─▶ question_permit      START ─▶ question_ended      HEDGE ─▶ question_hedge
 *                    DROP (cancel the call)         WAIT for an end or a time    WON, LOST: over; read question_outcome
 *
 * The owner carries out each step before it asks for the next one; during WAIT it reports events, then asks again. One
 * table holds the state, a row for each provider. These hold for events in any order:
 *   - a call that was started ends once: by question_ended, or by DROP;
 *   - a provider that was asked isn't asked again, except for one repeat in the whole question: without the oldest turns, after
 *     the provider has refused the conversation as too long, or without any turns, after every provider refused it for an unknown
 *     reason (usually a damaged or foreign history);
 *   - the question ends once, and then no call is under way.
 *
 * Strategies (llm.strategy), over the candidates in their order:
 *   sequential  the next when the one before has failed
 *   race        all at once; the first good answer wins, and an error never does while another may still succeed
 *   hedge       the next also when no answer came for hedge_after_ms, or at once on an error that another may not return;
 *               source: gRFC A6 (hedging policy: non-fatal status codes), The Tail at Scale (hedge at the p95) */
#ifndef CHAT_LLM_QUESTION_H
#define CHAT_LLM_QUESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "settings/settings.h"

#define QUESTION_NOBODY SIZE_MAX

struct question;

struct question_plan {
    enum strategy strategy;
    int64_t hedge_after_ms; /* of `hedge` */
    size_t provider_count;  /* providers are named by 0 … provider_count - 1 */
    const size_t *candidates; /* by preference, each once; must outlive the question */
    size_t count;             /* of candidates; at least 1 */
    size_t overflow_provider, filter_provider; /* fallbacks; QUESTION_NOBODY: none */
    size_t turn_count; /* of the history; 0: none */
    size_t skipped;    /* how many of the oldest turns the first candidate's request omits, since its repeat was held up before; 0: none */
    bool alone;        /* the held-up repeat was that without any history: the other providers were asked before, and aren't again */
    uint16_t refused;  /* bit i: before a wait provider i has refused the whole history for an unknown reason; it isn't asked again with it */
};

struct question *question_create(const struct question_plan *plan);
void question_destroy(struct question *question); /* NULL is fine; the owner cancels calls under way */

/* ---- steps ---- */

enum question_action {
    QUESTION_PERMIT, /* may `provider` be asked, without the `skipped` oldest turns? Answer by question_permit */
    QUESTION_START,  /* begin the call that has its permit; it ends by question_ended, also if it can't begin */
    QUESTION_HEDGE,  /* does the budget allow an extra call? Answer by question_hedge */
    QUESTION_DROP,   /* cancel the call: no question_ended follows */
    QUESTION_WAIT,   /* for an event, until until_ms at most (INT64_MAX: no such time) */
    QUESTION_WON,
    QUESTION_LOST
};

struct question_step {
    enum question_action action;
    size_t provider; /* PERMIT, START, DROP */
    size_t skipped;  /* PERMIT, START */
    bool extra;      /* START: a hedge, a fallback or a repeat, not the question's first call */
    bool fallback;   /* START: a call of overflow_provider or filter_provider, after another has ended */
    bool running;    /* DROP: the call was started; else its permit, if there is one, is unused */
    int64_t until_ms; /* WAIT */
};

/* now_ms: on the clock that hedge_after_ms is measured by; never less than before. */
struct question_step question_next(struct question *question, int64_t now_ms);

/* ---- events ---- */

/* The answer to PERMIT. given false: the provider isn't asked in this question, and the next one follows. */
void question_permit(struct question *question, size_t provider, bool given);
/* The answer to HEDGE; false: no extra call, only the running ones are waited for. */
void question_hedge(struct question *question, bool allowed);

enum question_verdict {
    QUESTION_GOOD,
    QUESTION_FILTERED,        /* an answer that a content filter cut off: good, unless filter_provider can be asked */
    QUESTION_CONTENT_REFUSED, /* only filter_provider may answer */
    QUESTION_TOO_LONG,        /* the conversation is too long for this provider */
    QUESTION_UNEXPLAINED,     /* the request was refused for an unknown reason: perhaps its history */
    QUESTION_FATAL,           /* the question itself is at fault: no provider will answer */
    QUESTION_FAILED           /* another provider may succeed */
};

struct question_end {
    enum question_verdict verdict;
    enum error_class class; /* of a failure: decides which failure is the question's */
    size_t skip; /* TOO_LONG: how many turns a repeat should omit; 0: there are none */
};

/* A call has ended. True: its answer is the question's; false: it isn't, even if it was good. */
bool question_ended(struct question *question, size_t provider, const struct question_end *end);
/* Cancels the question: DROP for each call under way, then LOST. */
void question_cancel(struct question *question);

/* More of a running call's stream has come. True: it is to be published, as part of try *ret_try (from 0): publish its new text, from
 * the beginning when the try is new. Of several streams at once the first is published until its call fails. */
bool question_text(struct question *question, size_t provider, int64_t *ret_try);

/* ---- the end ---- */

struct question_outcome {
    /* Ends are numbered from 0 in the order of question_ended; dropped calls come behind them. */
    size_t reported; /* WON: the good one; LOST: the most recoverable failure; QUESTION_NOBODY: none ended */
    size_t winner; /* WON: the provider that answered */
    size_t skipped; /* WON: how many turns its request omitted */
    bool alone;    /* WON: it was the repeat without any history, since every provider refused the conversation */
    uint16_t refused; /* as in the plan, including those of this question */
    int64_t final_try; /* WON: which try the whole answer belongs to */
    bool was_heard;    /* WON: the beginning of that try was published already */
    /* LOST: a call without a permit might have succeeded: asking again when it may start is better than the failure. */
    bool held_up;
    size_t held_up_provider, held_up_skipped;
    bool held_up_alone; /* the held-up call is the repeat without any history */
};

/* After WON or LOST. */
struct question_outcome question_outcome(const struct question *question);

#endif
