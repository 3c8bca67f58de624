/* The kinds of failure of a call to a provider, and their consequences: pure, one table.
 *
 *   call ─▶ call_failure.c (no whole answer), refusal.c (a refusal), finish_reason.c (an answer that broke off) ─▶ kind
 *     kind ─▶ failure_class: is it tried again?         failure_weight: does it count toward the breaker (breakers/breakers.h)?
 *             failure_is_the_questions: could another provider answer?
 *
 * A failure that concerns one job is never counted as an outage, or eight such jobs would hold up all others:
 *
 *   what failed                                                    toward the breaker
 *   no connection, no rate left, key, account, region, model       counts each time: no job can cause it
 *   the same, but known only from the text of a 400                counts once a session: the text may quote the job
 *   a time-out, a 5xx, a connection that broke                     counts once a session: a job can cause it, too
 *   the request itself: malformed, too long, its content refused   doesn't count: the provider works
 *   a complete answer that can't be read, or is too large          doesn't count, neither as a failure nor as a success
 *   a time-out by the job's own deadline, a model the job names    doesn't count: the job's fault
 *
 * Any thread. */
#ifndef CHAT_LLM_FAILURE_KIND_H
#define CHAT_LLM_FAILURE_KIND_H

#include <stdbool.h>

#include "base/error.h"

enum failure_kind {
    FAILURE_NONE = 0, /* not the provider's: no call was made, or this process lacked resources for it */
    FAILURE_REQUEST,  /* the question is refused: malformed, a parameter, or for an unknown reason */
    FAILURE_TOO_LONG, /* for the model's context, or as a request */
    FAILURE_CONTENT,  /* a moderation, a policy or a filter refuses the content */
    FAILURE_ANSWER,   /* complete, but can't be read or is too large */
    FAILURE_ACCESS,   /* key, rights, account, region, address */
    FAILURE_BILLING,  /* the account can't pay */
    FAILURE_MODEL,    /* the provider has no such model, or no such address */
    FAILURE_RATE,
    FAILURE_GONE,     /* the request never reached the provider: no connection, no name, no TLS, a proxy that refuses */
    FAILURE_OVERLOAD, /* 503, 529 */
    FAILURE_TIMEOUT,
    FAILURE_SERVER,   /* another 5xx, or the connection broke before the answer's end */
    FAILURE_KINDS
};

/* "request", "too_long" …: for logs. */
const char *failure_kind_name(enum failure_kind kind);

/* By the status alone, from 300. */
enum failure_kind failure_kind_of_status(int http_status);

/* Permanent: it would fail again; unavailable: no provider could be tried; else retriable. */
enum error_class failure_class(enum failure_kind kind);

/* The question's own fault: a refusal that no load, key or account explains. */
bool failure_is_the_questions(enum failure_kind kind);

enum failure_weight {
    WEIGHS_NOTHING,   /* neither a success nor a failure */
    WEIGHS_FOR,       /* a sign that the provider works: it has read the job and refuses it */
    WEIGHS_EACH_TIME, /* a failure */
    WEIGHS_ONCE       /* a failure, once a session */
};

/* Whether the job itself caused the failure. */
struct failure_job {
    bool out_of_time; /* its own deadline has passed and ended the call */
    bool named_model; /* the job names a model */
    bool may_be_quoted; /* the kind is known from the text alone, which may quote the job */
};

enum failure_weight failure_weight(enum failure_kind kind, const struct failure_job *job);

#endif
