/* Fetches a job's context sources before its question: those of llm.contexts, side by side or in turn. A thread calls
 * context_fetch, which blocks; an event loop goes in steps:
 *
 *   context_fetching_begin ─▶ context_fetching_go_on ─┬▶ true: over ─▶ context_fetching_end
 *                                        ▲            └▶ false: its client is watched (http_loop_wait) ─┐
 *                                        └────────────────────────────────────────────────────────────┘
 *
 *   text        the response becomes part of the prompt (context_text.h)
 *   moderation  its verdict lets the job go on, or ends it
 *
 * A source that isn't required is left out when it fails, takes too long, or returns too much, or a text that can't be in a prompt. The failure
 * of a required source is the job's, classed like a provider's (call_failure.h); the other calls are dropped
 * then, as after a refusal. Each failure is logged with the source's name and a code, never with a text.
 *
 * Thread: the engine's. Makes no second attempt: the dispatcher does. */
#ifndef CHAT_LLM_CONTEXT_FETCH_H
#define CHAT_LLM_CONTEXT_FETCH_H

#include "http/http_cancel.h"
#include "http/http_pool.h"
#include "llm/llm_client.h"
#include "settings/settings.h"
#include "wire/job.h"

struct context_question {
    const struct settings *settings; /* fetched_count is 1 at least */
    struct http_pool *pool;
    struct http_cancel *cancel; /* NULL: none */
    const struct job *job;
    int64_t until_ms; /* clock_mono_ms by which it must have ended */
};

/* OK: *ret_prompt is the text for the request, owned by the caller; NULL: none. FAILED: *err names the source, and *ret_failure is
 * for the retry rule:
 *   permanent    moderation_refused; empty_placeholder, bad_url, response_too_large, http_4xx
 *   retriable    timeout, connection_lost, invalid_response (not UTF-8, no verdict), http_5xx
 *   unavailable  connection_failed, dns_failed, tls_failed, no_resources, http_503, http_529
 *   cancelled */
enum status context_fetch(const struct context_question *question, char **ret_prompt, struct llm_failure *ret_failure, struct error *err) MUST_CHECK;

/* ---- in steps ---- */

struct context_fetching;

/* The arguments are valid until context_fetching_end. */
struct context_fetching *context_fetching_begin(const struct context_question *question, struct llm_failure *ret_failure, struct error *err);
/* As far as it comes without waiting. False: go on when context_fetching_client may have something new, or at *ret_next_ms (clock_mono_ms). */
bool context_fetching_go_on(struct context_fetching *fetching, int64_t *ret_next_ms);
struct http_client *context_fetching_client(struct context_fetching *fetching);
/* The result is that of context_fetch. Frees and nulls *fetching. */
enum status context_fetching_end(struct context_fetching **fetching, char **ret_prompt) MUST_CHECK;

#endif
