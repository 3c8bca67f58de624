/* What kind of failure a call to a provider ended in, and what follows from that: pure, one table.
 *
 *   call ─▶ call_failure.c (no whole answer), refusal.c (a refusal), finish_reason.c (an answer that broke off) ─▶ kind
 *     kind ─▶ failure_class: is it tried again?         failure_weight: does it count toward the breaker (breakers/breakers.h)?
 *             failure_is_the_questions: does another provider stand a chance?
 *
 * What an answer or a refusal says about one job is never a sign of an outage, or eight such jobs would hold up all others:
 *
 *   what failed                                                    toward the breaker
 *   nobody there, no rate left, key, account, region, model        counts each time: no job can cause it
 *   the same, told by nothing but the words of a 400               counts once a session: the words may quote the job's
 *   a time-out, a 5xx, a call that broke off                       counts once a session: a job can cause it, too
 *   the request itself: malformed, too long, its content refused   doesn't count: the provider is there
 *   an answer that came whole and can't be read, or is too large   doesn't count, and tells nothing else either
 *   a time-out by the job's own deadline, a model the job names    doesn't count: the job's
 *
 * Any thread. */
#ifndef CHAT_LLM_FAILURE_KIND_H
#define CHAT_LLM_FAILURE_KIND_H

#include <stdbool.h>

#include "base/error.h"

enum failure_kind {
    FAILURE_NONE = 0, /* nothing of the provider's: no call was made, or this process had no means for it */
    FAILURE_REQUEST,  /* the question is refused: malformed, a parameter, or for a reason that nobody knows */
    FAILURE_TOO_LONG, /* for the model's context, or for a request at all */
    FAILURE_CONTENT,  /* a moderation, a policy or a filter refuses what it says */
    FAILURE_ANSWER,   /* came whole, and can't be read or is too large */
    FAILURE_ACCESS,   /* key, right, account, region, address */
    FAILURE_BILLING,  /* the account can't pay */
    FAILURE_MODEL,    /* it has no such model, or no such address */
    FAILURE_RATE,
    FAILURE_GONE,     /* the provider never saw it: no connection, no name, no TLS, a proxy that lets nobody through */
    FAILURE_OVERLOAD, /* 503, 529 */
    FAILURE_TIMEOUT,
    FAILURE_SERVER,   /* another 5xx, or it broke off before its answer's end */
    FAILURE_KINDS
};

/* "request", "too_long" …: for logs. */
const char *failure_kind_name(enum failure_kind kind);

/* What a status alone means, from 300. */
enum failure_kind failure_kind_of_status(int http_status);

/* Permanent: it would be so again; unavailable: nobody was there to try; else retriable. */
enum error_class failure_class(enum failure_kind kind);

/* The question's own: a refusal that no load, key or account explains. */
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
    bool may_be_quoted; /* the kind was read from words alone, which may be the job's */
};

enum failure_weight failure_weight(enum failure_kind kind, const struct failure_job *job);

#endif
