/* What a refusal means: the one pure place that decides it, of all there is.
 *
 *   status, body, the header's wait ─▶ refusal_text.c (what it says) ─▶ refusal_reasons.c, refusal_words.c (what that means, as data)
 *                                                                    ─▶ struct refusal
 *
 * In this order: a known reason that is plain ("insufficient_quota"); words; a vague reason ("invalid_request_error") and a status within
 * the body; the HTTP status. So a 400 about a key is the key's, and a 413 about tokens per minute is a rate. An error inside a 200 or
 * a stream goes through the same, without a status: it means what the same body with one would. Any thread; bounded. */
#ifndef CHAT_LLM_REFUSAL_H
#define CHAT_LLM_REFUSAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llm/failure_kind.h"
#include "llm/refusal_message.h"

struct refusal_facts {
    int http_status;        /* from 300; 0: an error in a 200, or in a stream */
    int64_t header_wait_ms; /* as Retry-After told; -1: it didn't */
};

struct refusal {
    enum failure_kind kind;
    char code[40]; /* the provider's where it looks like an identifier that says more than the status; else ours, or http_STATUS */
    int64_t wait_ms; /* the body's; -1: it tells none */
    int64_t reset;   /* of the body, as refusal_wait.h has it; -1: none */
    int64_t n_ctx, n_prompt; /* FAILURE_TOO_LONG: the server's limit and what was sent, in tokens; 0: it didn't say */
    /* FAILURE_REQUEST: it isn't plainly about one of the request's members: something in the messages may have caused it, perhaps an
     * older turn. */
    bool unexplained;
    /* Nothing but words tells the kind, where the status alone would blame the request, or the server: and words may quote the request, if
     * that holds the evidence (refusal_words_are_in; NULL: any may). */
    bool may_be_quoted;
    const char *evidence;
    /* The provider's own words, owned: valid UTF-8 without control characters, REFUSAL_MESSAGE_BYTES_MAX at most; NULL: none. They may
     * quote the request: never for a log. */
    char *message;
};

/* secrets: what the words must not hold (NULL-terminated; NULL: none). *ret is the caller's, for refusal_finish. */
void refusal_read(const struct refusal_facts *facts, const char *body, size_t size, const char *const *secrets, struct refusal *ret);
void refusal_read_json(const struct refusal_facts *facts, const json_t *root, const char *const *secrets, struct refusal *ret);
void refusal_finish(struct refusal *refusal);

/* What to do about it, for logs and errors: a line without anything of the provider's. */
const char *refusal_hint(const struct refusal *refusal, int http_status);

#endif
