/* Questions to OpenAI-compatible providers: HTTP calls that a thread begins, blocks for, and may cut short.
 *
 * An *exchange* is one question with its calls, one to each provider at most, and one wait for whichever ends first; who is
 * asked, and when, is llm_ask.h's to decide. Thread: the engine's, or a test's. Makes no retry of its own: there is one retry
 * loop, and it is the dispatcher's.
 *
 *   llm_exchange_begin ─▶ llm_exchange_ask (provider 0) … ─▶ llm_exchange_wait ─▶ llm_exchange_read ─▶ … ─▶ llm_exchange_end (cuts what still runs) */
#ifndef CHAT_LLM_LLM_CLIENT_H
#define CHAT_LLM_LLM_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/http_pool.h"
#include "llm/failure_kind.h"
#include "settings/settings.h"
#include "wire/reply.h"

struct llm_client;

struct llm_answer {
    json_t *message; /* owned: the assistant's message, as it came */
    char *finish_reason;
    char *model;
    struct usage usage;
};

/* The provider's own words about a failure, for whoever wants them. */
struct llm_said {
    const char *const *secrets; /* what they must not hold; NULL-terminated, borrowed; NULL: none */
    char *message; /* owned; NULL: nothing was said. As refusal.h's: never for a log */
};

/* What an error leaves for the retry rule: how long the provider asked to wait (-1: it didn't say), and
 * whether it said "x-should-retry: false|true" (0, 1; -1: didn't say). The provider's word counts over the
 * status: after `true` a refusal is classed retriable (never a billing one nor a context overflow), after
 * `false` a 503 or 529 is, so that retry_allowed ends it. */
struct llm_failure {
    enum failure_kind kind;
    int http_status; /* 0: no answer */
    int64_t retry_after_ms; /* a header's, else the body's */
    int64_t reset; /* of the body, as refusal_wait.h has it, until llm_exchange_read makes it retry_after_ms; 0, -1: none */
    int should_retry;
    int64_t n_ctx, n_prompt; /* FAILURE_TOO_LONG: the server's limit and what was sent, in tokens; 0: it didn't say */
    bool unexplained; /* FAILURE_REQUEST: as refusal.h has it, as the next */
    bool may_be_quoted; /* by the request, which llm_ask.c looks at */
    const char *evidence;
    struct llm_said *said; /* where the provider's words go; NULL: nowhere */
};

/* Once in the process, before threads; settings and pool (http_targets.h) outlive the client. */
struct llm_client *llm_client_create(const struct settings *settings, struct http_pool *pool);
void llm_client_destroy(struct llm_client *client); /* no call under way; NULL is fine */

/* ---- an exchange ---- */

struct llm_stream;
struct exchange_call;   /* one provider's */
struct stream_news; /* stream_fold.h */

/* More of a streamed answer's text has come. On the thread of llm_exchange_wait. */
typedef void llm_on_text(size_t provider, void *arg);

struct llm_exchange {
    struct llm_client *client;
    struct http_client *http;
    struct http_cancel *cancel; /* borrowed; NULL: none */
    llm_on_text *on_text; /* of streams */
    void *on_text_arg;
    struct exchange_call *calls; /* one for each provider; owned: on the stacks of waiting threads, room for all there might be costs a page */
    char *said; /* owned: the provider's own words, of the call that was read last and failed; NULL: none */
};

/* FAILED: unavailable `no_resources`. */
enum status llm_exchange_begin(struct llm_client *client, struct http_cancel *cancel, struct llm_exchange *ret, struct error *err) MUST_CHECK;
void llm_exchange_end(struct llm_exchange *exchange);

/* Begins to POST body (JSON, the caller's until the call was read or dropped) to a provider's chat/completions. provider: its
 * index in settings.providers. until_ms: clock_mono_ms by which the call must have ended (the smaller of this and the
 * provider's attempt_timeout_ms counts). streamed: the body asks for a stream; then the provider's first-token time-out
 * counts, too. Its idle time-out does in any stream, asked for or not (answer_shape.h), by events with data. FAILED: unavailable. */
enum status llm_exchange_ask(struct llm_exchange *exchange, size_t provider, const char *body, int64_t until_ms, bool streamed, struct error *err) MUST_CHECK;
/* Blocks until a call ends (*ret_provider's), until_ms comes, or the exchange is cancelled or broken. */
enum http_event llm_exchange_wait(struct llm_exchange *exchange, int64_t until_ms, size_t *ret_provider);
/* What the call that ended has come to. *ret_answer is set on OK only, for llm_answer_finish; *ret_failure always. On
 * FAILED *err names the provider, and is classed by what happened:
 *   unavailable  dns_failed, connection_failed (also a connect time-out), tls_failed, no_resources
 *   retriable    timeout, connection_lost, invalid_response, stream_broken, generation_failed
 *   permanent    response_too_large, bad_url
 *   a refusal    by its kind (failure_kind.h), unless the server says whether to retry
 * and the provider may be asked again then; exchange->said is what it said itself, if anything. */
enum status llm_exchange_read(struct llm_exchange *exchange, size_t provider, struct llm_answer *ret_answer, struct llm_failure *ret_failure,
                          struct error *err) MUST_CHECK;
/* Does, or did, the answer come as a stream? */
bool llm_exchange_is_streamed(const struct llm_exchange *exchange, size_t provider);
/* Of a streamed answer: what of its text wasn't handed out yet (stream_fold.h), lent until the call goes on. */
void llm_exchange_news(struct llm_exchange *exchange, size_t provider, struct stream_news *ret);
/* From the call's begin to its first token; of a whole answer to its end. Before llm_exchange_read. */
int64_t llm_exchange_first_ms(const struct llm_exchange *exchange, size_t provider);
/* Cuts a call short: its connection closes, and the provider stops generating. */
void llm_exchange_drop(struct llm_exchange *exchange, size_t provider);

void llm_answer_finish(struct llm_answer *answer); /* all-zero is fine */

#endif
