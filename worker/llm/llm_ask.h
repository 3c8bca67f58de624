/* Asks one question: of several providers in a row, of all at once, or of a second when the first is slow. All of that is
 * decided by question.h; here its steps are carried out, on a thread that blocks: it drives all the calls of its question, and
 * waits until the first is good, or none can be any more. What a loser had under way is cut short.
 *
 * A conversation that is longer than the model's context is asked once more of the same provider without its oldest turns,
 * then of llm.overflow_provider; an answer that a content filter refused, of llm.filter_provider; one that every provider
 * refused for no reason that could be understood, once more without its history.
 *
 * Thread: the engine's. Makes no second attempt of what failed: that is the dispatcher's to do. */
#ifndef CHAT_LLM_LLM_ASK_H
#define CHAT_LLM_LLM_ASK_H

#include "llm/llm_client.h"
#include "llm/provider_slots.h"
#include "llm/provider_times.h"

/* A delta: new text of an answer that is being written. The deltas of one `try` are one answer, from its beginning; when another
 * provider takes over (the first broke off, or another was faster), a new try begins, and what came before is void. */
struct llm_delta {
    int64_t try; /* from 0 */
    const char *text, *reasoning; /* lent; NULL: none */
    size_t text_size, reasoning_size;
    bool final; /* the answer is whole: no delta follows */
};

struct llm_question {
    const struct settings *settings;
    struct llm_client *client;
    struct provider_slots *slots;
    struct provider_times *times;
    struct http_cancel *cancel; /* NULL: none */
    const size_t *candidates;   /* whom to ask, by preference: indices of settings.providers; at least one */
    size_t count;
    int64_t until_ms; /* clock_mono_ms by which it must have ended */
    bool stream; /* hand out the answer as it comes; the encoded bodies ask for it as each provider likes (llm_request_is_streamed) */
    void (*on_delta)(const struct llm_delta *delta, void *arg); /* with stream */
    /* The request's body without the first `skipped` turns; owned by the caller of encode. */
    char *(*encode)(const struct provider_settings *provider, size_t skipped, void *arg);
    size_t turn_count; /* of the history that a body carries */
    size_t skipped; /* how many turns the first candidate's body goes without from the start */
    bool alone;     /* all of them, since nobody took the question with its history: nobody else is asked */
    uint16_t refused; /* who has refused it before a wait: as question.h has it */
    /* Asked before each call, with its body; takes the call's slot (provider_slots_take). NULL: all may. False: not now, there
     * is no permit for it. It counts as not asked then, and the next candidate's turn has come; nothing waits here. */
    bool (*may_start)(size_t provider, const char *body, void *arg);
    /* How many of the oldest turns to leave out, since a provider's context doesn't hold the body; 0: there are none. */
    size_t (*skip)(const struct llm_failure *failure, size_t body_bytes, void *arg);
    void *arg;
};

/* How one call ended. */
struct llm_tried {
    size_t provider;
    enum { TRIED_GOOD, TRIED_FAILED, TRIED_DROPPED /* cut short: another was faster, or all was cancelled */ } end;
    struct error *error; /* FAILED: owned; else NULL */
    char *said; /* FAILED: the provider's own words, owned; NULL: it said nothing */
    struct llm_failure failure;
    struct usage usage; /* of an answer, also one that a filter emptied (FAILED then); -1: unknown */
    int64_t took_us; /* -1: it never began */
};

struct llm_outcome {
    struct llm_tried *tried; /* in the order of their ends; owned, and made with the first: while a thousand threads wait, none has any */
    size_t tried_count;      /* one more than there are providers at most */
    size_t reported; /* which of them the outcome is: the good one, or the failure that leaves most hope */
    size_t skipped; /* OK: how many turns the answered request went without */
    bool alone;     /* OK: all of them, since nobody took the question with its history */
    bool limit_changed; /* of a provider's calls in flight */
    /* FAILED, and a call that may_start held up might have been good: asking again when it may start goes before the error. */
    bool held_up;
    size_t held_up_provider; /* whom to ask then, without so many turns */
    size_t held_up_skipped;
    bool held_up_alone; /* as question.h has it, as the next */
    uint16_t refused;
};

/* *ret is the caller's either way. OK: *ret_answer is, too. FAILED: *err, which is tried[told]'s, or cancelled, or unavailable when no call could begin
 * (`rate_limited`, and nothing tried: none might start). */
enum status llm_ask(const struct llm_question *question, struct llm_answer *ret_answer, struct llm_outcome *ret, struct error *err) MUST_CHECK;
void llm_outcome_finish(struct llm_outcome *outcome);

/* Is the question itself refused, so that no other provider would take it? The rest is the provider's: its load, its key, its account,
 * its models. Pure. */
bool llm_failure_is_fatal(const struct llm_failure *failure, const struct error *err);

#endif
