/* What kind of failure a call to a provider ended in, and what that says of the provider: pure, the one place that decides it.
 *
 *   call ─▶ call_failure.c (no whole answer), llm_codec.c, stream_fold.c (a refusal, an answer) ─▶ kind ─▶ does another provider
 *           stand a chance (llm_failure_is_fatal)? does it count toward the breaker (dispatch/weather.h)?
 *
 * What an answer or a refusal says about one job is never a sign of an outage, or eight such jobs would hold up all others:
 *
 *   what failed                                                    toward the breaker
 *   nobody there, no rate left, key, account, address, model       counts each time: no job can cause it
 *   a time-out, a 5xx, a call that broke off                       counts once a session: a job can cause it, too
 *   the request itself: malformed, too long, its content refused   doesn't count: the provider is there
 *   an answer that came whole and can't be read, or is too large   doesn't count, and tells nothing else either
 *   a time-out by the job's own deadline, a model the job names    doesn't count: the job's
 *
 * Any thread. Says nothing of what is done about the job: that is its error's class (base/error.h). */
#ifndef CHAT_LLM_FAILURE_KIND_H
#define CHAT_LLM_FAILURE_KIND_H

#include <stdbool.h>

enum failure_kind {
    FAILURE_NONE = 0, /* nothing of the provider's: no call was made, or this process had no means for it */
    FAILURE_REQUEST,  /* the question is at fault: malformed, an unknown parameter */
    FAILURE_TOO_LONG, /* for the model's context, or for a request at all */
    FAILURE_CONTENT,  /* a moderation, a policy or a filter refuses what it says */
    FAILURE_ANSWER,   /* came whole, and can't be read or is too large */
    FAILURE_ACCESS,   /* key, right, region, address */
    FAILURE_BILLING,  /* the account can't pay */
    FAILURE_MODEL,    /* it has no such model, or no such address */
    FAILURE_RATE,
    FAILURE_GONE,     /* nothing was sent: no connection, no name, no TLS */
    FAILURE_OVERLOAD, /* 503, 529 */
    FAILURE_TIMEOUT,
    FAILURE_SERVER    /* another 5xx, or it broke off before its answer's end */
};

/* What a refusal says of itself, in words: those of its body, each NULL where there is none. */
struct refusal_words {
    const char *code, *type, *message;
    const char *body; /* its beginning, as it came */
};

/* A refusal of this status (from 300, or what an error inside a 200 stands for). Words go before the status: a 403 may be about a
 * key or about what a prompt says. Not told here: overflows and billing (llm_codec.c reads more of them). */
enum failure_kind failure_kind_of_refusal(int status, const struct refusal_words *words);

/* The question's own: every provider would say so. */
bool failure_is_the_questions(enum failure_kind kind);

enum failure_weight {
    WEIGHS_NOTHING,   /* neither for the provider nor against it */
    WEIGHS_FOR,       /* it is there: it has looked at the job, and refuses it */
    WEIGHS_EACH_TIME, /* against it */
    WEIGHS_ONCE       /* against it, once a session */
};

/* What of it the job brought about itself. */
struct failure_job {
    bool out_of_time; /* its own deadline has passed, and so has cut the call */
    bool named_model; /* it asked for a model of its choice */
};

enum failure_weight failure_weight(enum failure_kind kind, const struct failure_job *job);

#endif
