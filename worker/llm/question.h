/* A question to several providers as a state machine: whom to ask and when, what the end of a call means, whose stream is heard.
 * Pure: events in, actions out; no I/O, no clock, no lock. Its owner (llm_ask.c: a thread that blocks) makes the calls:
 *
 *   question_next ─▶ PERMIT ─▶ question_permit      START ─▶ question_ended      HEDGE ─▶ question_hedge
 *                    DROP (cut the call short)      WAIT for an end or a time    WON, LOST: over; read question_outcome
 *
 * The owner carries out each step before it asks for the next one; during WAIT it tells what happens, then asks again. One
 * table holds it all, a row for each provider. It keeps these promises, whatever is told in whatever order:
 *   - a call that was started ends once: by question_ended, or by DROP;
 *   - a provider that was asked isn't asked again, but for one repeat in the whole question: without the oldest turns, after
 *     the provider has called the conversation too long, or without any, after every provider refused it for no reason that
 *     could be understood (a damaged or foreign history is the usual one);
 *   - it ends once, and then nothing is under way.
 *
 * Strategies (llm.strategy), over the candidates in their order:
 *   sequential  the next when the one before has failed
 *   race        all at once; the first good answer wins, and an error never does while another may still succeed
 *   hedge       the next also when no answer came for hedge_after_ms, or at once on an error that another may not have;
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
    const size_t *candidates; /* by preference, each once; outlives the question */
    size_t count;             /* of candidates; at least 1 */
    size_t overflow_provider, filter_provider; /* fallbacks; QUESTION_NOBODY: none */
    size_t turn_count; /* of the history; 0: none */
    size_t skipped;    /* how many of the oldest turns the first candidate's request goes without: its repeat was held up before; 0: none */
    bool alone;        /* that was the repeat without any history: the others were asked before, and aren't again */
    uint16_t refused;  /* bit i: before a wait provider i has refused the whole history for no reason that could be understood; it isn't asked again with it */
};

struct question *question_create(const struct question_plan *plan);
void question_destroy(struct question *question); /* NULL is fine; calls that are under way are the owner's to cut short */

/* ---- steps ---- */

enum question_action {
    QUESTION_PERMIT, /* may `provider` be asked, without the `skipped` oldest turns? Answer by question_permit */
    QUESTION_START,  /* begin the call that has its permit; it ends by question_ended, also where it can't begin */
    QUESTION_HEDGE,  /* does the budget allow an extra call? Answer by question_hedge */
    QUESTION_DROP,   /* cut it short: nothing more is told of it */
    QUESTION_WAIT,   /* for an event, until until_ms at most (INT64_MAX: no such time) */
    QUESTION_WON,
    QUESTION_LOST
};

struct question_step {
    enum question_action action;
    size_t provider; /* PERMIT, START, DROP */
    size_t skipped;  /* PERMIT, START */
    bool extra;      /* START: a hedge, a fallback or a repeat, not the question's first call */
    bool fallback;   /* START: overflow_provider's or filter_provider's, in the place of another that has ended */
    bool running;    /* DROP: it was started; else its permit, if it came, goes unused */
    int64_t until_ms; /* WAIT */
};

/* now_ms: on the clock that hedge_after_ms is measured by; never less than before. */
struct question_step question_next(struct question *question, int64_t now_ms);

/* ---- events ---- */

/* Of a provider whose permit was asked for. not given: it isn't asked in this question, and the next one's turn has come. */
void question_permit(struct question *question, size_t provider, bool given);
/* The answer to HEDGE; false: the extra call is given up, and those that run are waited for. */
void question_hedge(struct question *question, bool allowed);

enum question_verdict {
    QUESTION_GOOD,
    QUESTION_FILTERED,        /* an answer that a content filter cut off: good, unless filter_provider can be asked */
    QUESTION_CONTENT_REFUSED, /* filter_provider may answer, else nobody will */
    QUESTION_TOO_LONG,        /* the conversation is, for this provider */
    QUESTION_UNEXPLAINED,     /* the request was refused, and it can't be understood why: perhaps for its history */
    QUESTION_FATAL,           /* the question itself is at fault: no provider will answer */
    QUESTION_FAILED           /* another provider may succeed */
};

struct question_end {
    enum question_verdict verdict;
    enum error_class class; /* of what isn't good: which failure is the question's is decided by it */
    size_t skip; /* TOO_LONG: how many turns a repeat should go without; 0: there are none to leave out */
};

/* A call has ended so. True: its answer is the question's; false: it isn't, however good it was. */
bool question_ended(struct question *question, size_t provider, const struct question_end *end);
/* No more is wanted: DROP for all that is under way, then LOST. */
void question_cancel(struct question *question);

/* More of a running call's stream has come. True: it is heard, as part of try *ret_try (from 0): tell what is new of it, from
 * its beginning when the try is new. Of several that speak at once the first is heard until its call fails. */
bool question_text(struct question *question, size_t provider, int64_t *ret_try);

/* ---- the end ---- */

struct question_outcome {
    /* Ends are numbered from 0 as question_ended told them; what was dropped comes behind them. */
    size_t reported; /* WON: the good one; LOST: the failure that leaves most hope; QUESTION_NOBODY: none ended */
    size_t winner; /* WON: whose answer it is */
    size_t skipped; /* WON: how many turns its request went without */
    bool alone;    /* WON: it was the repeat without any history, since every provider refused the conversation */
    uint16_t refused; /* as in the plan, those of this question with them */
    int64_t final_try; /* WON: which try the whole answer belongs to */
    bool was_heard;    /* WON: the try's beginning has been told already */
    /* LOST: a call without a permit might have been good: asking again when it may start goes before the failure. */
    bool held_up;
    size_t held_up_provider, held_up_skipped;
    bool held_up_alone; /* it is the repeat without any history */
};

/* After WON or LOST. */
struct question_outcome question_outcome(const struct question *question);

#endif
