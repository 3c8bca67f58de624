/* One question to one OpenAI-compatible provider: a blocking HTTP call that can be cut short.
 *
 * Thread: the engine's, or a test's. Blocks until the answer, an error, a time-out or a cancel. Makes no
 * retry of its own: there is one retry loop, and it is the dispatcher's. libcurl handles are borrowed from
 * a last-in-first-out pool, so that hot connections are used again and idle ones age out. */
#ifndef CHAT_LLM_LLM_CLIENT_H
#define CHAT_LLM_LLM_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/settings.h"
#include "wire/reply.h"

struct llm_client;

/* Lets another thread end a call. One a worker thread, reused for each job. */
struct llm_cancel;
struct llm_cancel *llm_cancel_create(void);
void llm_cancel_destroy(struct llm_cancel *cancel); /* no call under way; NULL is fine */
/* Arms it for the next call: forgets an earlier fire. */
void llm_cancel_reset(struct llm_cancel *cancel);
/* Any thread: ends the running call within milliseconds, or the next one at once. */
void llm_cancel_fire(struct llm_cancel *cancel);

struct llm_answer {
    json_t *message; /* owned: the assistant's message, as it came */
    char *finish_reason;
    char *model;
    struct usage usage;
};

/* What an error leaves for the retry rule: how long the provider asked to wait (-1: it didn't say), and
 * whether it said "x-should-retry: false|true" (0, 1; -1: didn't say). The provider's word counts over the
 * status: after `true` a refusal is classed retriable (never a billing one nor a context overflow), after
 * `false` a 503 or 529 is, so that retry_allowed ends it. */
struct llm_failure {
    int http_status; /* 0: no answer */
    int64_t retry_after_ms;
    int should_retry;
    bool context_overflow;
    bool billing; /* the account can't pay: no other job fares better */
};

/* Once in the process, before threads; settings outlive the client. FAILED: permanent, an api_key that is
 * no header value. The process ignores SIGPIPE. */
enum status llm_client_create(const struct settings *settings, struct llm_client **ret, struct error *err) MUST_CHECK;
void llm_client_destroy(struct llm_client *client); /* no call under way; NULL is fine */

/* POSTs body (JSON, the caller's until the call returns) to provider's chat/completions. provider: one of the
 * settings the client was created with. until_ms: clock_mono_ms by which it must have ended (the smaller of
 * this and the provider's attempt_timeout_ms counts). cancel may be NULL. *ret_answer is set on OK only, for
 * llm_answer_finish; *ret_failure always. On FAILED *err names the provider, and is classed by what happened:
 *   unavailable  dns_failed, connection_failed (also a connect time-out), tls_failed, no_resources; 503, 529
 *   retriable    timeout, connection_lost, invalid_response; 408, 409, 424, 429, 5xx
 *   permanent    response_too_large, bad_url; billing, other 4xx, 3xx (code: the provider's, or http_STATUS)
 *   cancelled    cancelled */
enum status llm_client_ask(struct llm_client *client, const struct provider_settings *provider, const char *body,
                           int64_t until_ms, struct llm_cancel *cancel, struct llm_answer *ret_answer,
                           struct llm_failure *ret_failure, struct error *err) MUST_CHECK;
void llm_answer_finish(struct llm_answer *answer); /* all-zero is fine */

#endif
