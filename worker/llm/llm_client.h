/* Questions to OpenAI-compatible providers: HTTP calls that a thread or an event loop begins, waits for, and may drop.
 *
 * An *exchange* is one question with its calls, at most one to each provider at a time, and one wait for the first that ends; llm_ask.h
 * decides which providers are asked, and when. Thread: the engine's, or a test's. Makes no retry of its own: the only retry
 * loop is the dispatcher's.
 *
 *   llm_exchange_begin ─▶ llm_exchange_ask (provider 0) … ─▶ llm_exchange_look ─▶ llm_exchange_read ─▶ … ─▶ llm_exchange_end (cuts what still runs) */
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

/* A provider's error text, for callers that want it. */
struct llm_said {
    const char *const *secrets; /* to be masked in it; NULL-terminated, borrowed; NULL: none */
    char *message; /* owned; NULL: none. Never for a log, since it may quote the request (refusal.h) */
};

/* What the retry rule needs of an error: how long the provider asked to wait (-1: not given), and
 * its "x-should-retry: false|true" (0, 1; -1: not given). That header takes precedence over the
 * status: after `true` a refusal is classed retriable (never a billing one nor a context overflow), after
 * `false` a 503 or 529 is, so that retry_allowed ends it. */
struct llm_failure {
    enum failure_kind kind;
    int http_status; /* 0: no answer */
    int64_t retry_after_ms; /* a header's, else the body's */
    int64_t reset; /* a reset from the body (refusal_wait.h), which llm_exchange_read converts to retry_after_ms; 0, -1: none */
    int should_retry;
    int64_t n_ctx, n_prompt; /* FAILURE_TOO_LONG: the server's limit and the request's size, in tokens; 0: not given */
    bool unexplained; /* FAILURE_REQUEST: this and may_be_quoted as in struct refusal */
    bool may_be_quoted; /* by the request, which llm_ask.c looks at */
    const char *evidence;
    struct llm_said *said; /* gets the provider's error text; NULL: not wanted */
};

/* Once in the process, before threads; settings outlive the client. */
struct llm_client *llm_client_create(const struct settings *settings);
void llm_client_destroy(struct llm_client *client); /* no call under way; NULL is fine */

/* ---- an exchange ---- */

struct llm_stream;
struct exchange_call;   /* one provider's */
struct stream_news; /* stream_fold.h */

/* More of a streamed answer's text has come. On the thread of llm_exchange_look. */
typedef void llm_on_text(size_t provider, void *arg);

struct llm_exchange {
    struct llm_client *client;
    struct http_pool *pool; /* of http */
    struct http_client *http;
    struct http_cancel *cancel; /* borrowed; NULL: none */
    llm_on_text *on_text; /* of streams */
    void *on_text_arg;
    struct exchange_call *calls; /* one for each provider; owned, not on the stack, where room for the maximum would cost each waiting thread a page */
    char *said; /* owned: the error text of the last call that was read and failed; NULL: none */
};

/* pool: that of the client, or a loop's (http_pool_of_loop). FAILED: unavailable `no_resources`. */
enum status llm_exchange_begin(struct llm_client *client, struct http_pool *pool, struct http_cancel *cancel, struct llm_exchange *ret, struct error *err) MUST_CHECK;
void llm_exchange_end(struct llm_exchange *exchange);

/* Begins to POST body (JSON, valid until the call was read or dropped) to a provider's chat/completions. provider: its
 * index in settings.providers. until_ms: clock_mono_ms by which the call must have ended (the smaller of this and the
 * provider's attempt_timeout_ms counts). streamed: the body requests a stream; then the provider's first-token time-out
 * applies, too. Its idle time-out applies to any stream, requested or not (answer_shape.h), between events with data. FAILED: unavailable. */
enum status llm_exchange_ask(struct llm_exchange *exchange, size_t provider, const char *body, int64_t until_ms, bool streamed, struct error *err) MUST_CHECK;
/* Has a call ended (that of *ret_provider), is until_ms reached, the exchange cancelled or broken? WAITING: look again when its client may have something new,
 * or at *ret_next_ms: a thread blocks for that (http_client_block), an event loop is called back. Doesn't block. */
enum http_event llm_exchange_look(struct llm_exchange *exchange, int64_t until_ms, size_t *ret_provider, int64_t *ret_next_ms);
/* The result of a call that ended. *ret_answer is set on OK only, to be freed by llm_answer_finish; *ret_failure always. On
 * FAILED *err names the provider, and its class is by what happened:
 *   unavailable  dns_failed, connection_failed (also a connect time-out), tls_failed, no_resources
 *   retriable    timeout, connection_lost, invalid_response, stream_broken, generation_failed
 *   permanent    response_too_large, bad_url
 *   a refusal    by its kind (failure_kind.h), unless the server set x-should-retry
 * Then the provider may be asked again; exchange->said is its error text, if any. */
enum status llm_exchange_read(struct llm_exchange *exchange, size_t provider, struct llm_answer *ret_answer, struct llm_failure *ret_failure,
                          struct error *err) MUST_CHECK;
/* Does, or did, the answer come as a stream? */
bool llm_exchange_is_streamed(const struct llm_exchange *exchange, size_t provider);
/* Of a streamed answer: the text that wasn't returned yet (stream_fold.h), valid until the next llm_exchange_look. */
void llm_exchange_news(struct llm_exchange *exchange, size_t provider, struct stream_news *ret);
/* From the call's begin to its first token; for a whole answer to its end. Before llm_exchange_read. */
int64_t llm_exchange_first_ms(const struct llm_exchange *exchange, size_t provider);
/* Cancels a call: its connection is closed, and the provider stops generating. */
void llm_exchange_drop(struct llm_exchange *exchange, size_t provider);

void llm_answer_finish(struct llm_answer *answer); /* all-zero is fine */

#endif
