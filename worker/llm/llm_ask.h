/* Sends one question to providers: one after the other, to all at once, or to a second one when the first is slow.
 * question.h decides; here its steps are carried out: all calls of the question are made, until the first is good, or none can be any more. The other
 * calls are dropped then. A thread asks with llm_ask, which blocks; an event loop in steps:
 *
 *   llm_asking_begin ─▶ llm_asking_go_on ─┬▶ OVER ─▶ llm_asking_end
 *                              ▲          ├▶ WAITING: its client is watched (http_loop_wait) ─┐
 *                              │          └▶ PERMIT: may_start answers later, by llm_asking_permit ─┤
 *                              └────────────────────────────────────────────────────────────────────┘
 *
 * A conversation longer than the model's context is sent once more to the same provider without its oldest turns,
 * then to llm.overflow_provider; one whose answer a content filter refused, to llm.filter_provider; one that every provider
 * refused for an unknown reason, once more without its history.
 *
 * Thread: the engine's; one at a time for a question. Makes no second attempt after a failure: the dispatcher does. */
#ifndef CHAT_LLM_LLM_ASK_H
#define CHAT_LLM_LLM_ASK_H

#include "llm/llm_client.h"
#include "llm/provider_slots.h"
#include "llm/provider_times.h"

/* A delta: new text of a streamed answer. The deltas of one `try` are one answer, from its beginning; when another
 * provider takes over (the first failed, or another was faster), a new try begins, and the earlier deltas are void. */
struct llm_delta {
    int64_t try; /* from 0 */
    const char *text, *reasoning; /* valid during the call; NULL: none */
    size_t text_size, reasoning_size;
    bool final; /* the answer is whole: no delta follows */
};

/* May a call begin? */
enum llm_permit {
    LLM_PERMIT_REFUSED, /* not now. Then the provider counts as not asked, and the next candidate follows; nothing waits here */
    LLM_PERMIT_GIVEN,
    LLM_PERMIT_PENDING /* the answer takes a while: a thread calls await_permit, in steps it comes by llm_asking_permit */
};

struct llm_question {
    const struct settings *settings;
    struct llm_client *client;
    struct http_pool *pool; /* of the thread's or the loop's clients */
    struct provider_slots *slots;
    struct provider_times *times;
    struct http_cancel *cancel; /* NULL: none */
    const size_t *candidates;   /* providers to ask, by preference: indices of settings.providers; at least one */
    size_t count;
    int64_t until_ms; /* clock_mono_ms by which it must have ended */
    bool stream; /* call on_delta as the answer comes; whether a body requests a stream is llm_request_is_streamed's */
    void (*on_delta)(const struct llm_delta *delta, void *arg); /* with stream */
    /* The request's body without the first `skipped` turns; owned by the caller of encode. */
    char *(*encode)(const struct provider_settings *provider, size_t skipped, void *arg);
    size_t turn_count; /* of the history in a body */
    size_t skipped; /* how many turns the first candidate's body omits from the start */
    bool alone;     /* omit all, since every provider refused the question with its history: no other provider is asked */
    uint16_t refused; /* which providers refused it before a wait: `refused` of question.h */
    /* Called before each call, with its body; takes the call's slot (provider_slots_take) unless it refuses. NULL: all may start. */
    enum llm_permit (*may_start)(size_t provider, const char *body, void *arg);
    bool (*await_permit)(void *arg); /* llm_ask's, after PENDING: blocks for the answer */
    /* How many of the oldest turns to omit, since the body exceeds a provider's context; 0: there are none. */
    size_t (*skip)(const struct llm_failure *failure, size_t body_bytes, void *arg);
    void *arg;
};

/* How one call ended. */
struct llm_tried {
    size_t provider;
    enum { TRIED_GOOD, TRIED_FAILED, TRIED_DROPPED /* cancelled: another was faster, or the question was cancelled */ } end;
    struct error *error; /* FAILED: owned; else NULL */
    char *said; /* FAILED: the provider's error text, owned; NULL: none */
    struct llm_failure failure;
    struct usage usage; /* of an answer, also one that a filter emptied (then FAILED); -1: unknown */
    int64_t took_us; /* -1: it never began */
};

struct llm_outcome {
    struct llm_tried *tried; /* in the order of their ends; owned, allocated with the first end: a waiting thread needs none */
    size_t tried_count;      /* at most one more than there are providers */
    size_t reported; /* index of the one that is the outcome: the good one, or the most recoverable failure */
    size_t skipped; /* OK: how many turns the answered request omitted */
    bool alone;     /* OK: it omitted all, since every provider refused the question with its history */
    bool limit_changed; /* of a provider's calls in flight */
    /* FAILED, and a call that may_start held up might have succeeded: asking again when it may start is better than the error. */
    bool held_up;
    size_t held_up_provider; /* the provider to ask then, and how many turns to omit */
    size_t held_up_skipped;
    bool held_up_alone; /* of struct question_outcome, as `refused` */
    uint16_t refused;
};

/* The caller owns *ret in any case. OK: *ret_answer, too. FAILED: *err, that of tried[reported], or cancelled, or unavailable when no call could begin
 * (`rate_limited`, with nothing tried: none might start). */
enum status llm_ask(const struct llm_question *question, struct llm_answer *ret_answer, struct llm_outcome *ret, struct error *err) MUST_CHECK;

/* ---- in steps ---- */

struct llm_asking;

enum llm_asking_state { LLM_ASKING_WAITING, LLM_ASKING_PERMIT, LLM_ASKING_OVER };

/* The arguments are valid until llm_asking_end. */
struct llm_asking *llm_asking_begin(const struct llm_question *question, struct llm_answer *ret_answer, struct llm_outcome *ret, struct error *err);
/* As far as it comes without waiting. WAITING: go on when llm_asking_client may have something new, or at *ret_next_ms (clock_mono_ms). */
enum llm_asking_state llm_asking_go_on(struct llm_asking *asking, int64_t *ret_next_ms);
struct http_client *llm_asking_client(struct llm_asking *asking);
/* PERMIT: the answer. Then go on. */
void llm_asking_permit(struct llm_asking *asking, bool given);
/* OVER: the result is that of llm_ask. Frees and nulls *asking. */
enum status llm_asking_end(struct llm_asking **asking) MUST_CHECK;

void llm_outcome_finish(struct llm_outcome *outcome);

/* Is the question itself refused, so that no other provider would answer it? Other refusals are the provider's: its load, key, account,
 * models. Pure. */
bool llm_failure_is_fatal(const struct llm_failure *failure, const struct error *err);

#endif
