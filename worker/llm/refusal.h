/* What a refusal means: the one place that decides it. Pure.
 *
 *   status, body, Retry-After ─▶ refusal_text.c (its content) ─▶ refusal_reasons.c, refusal_words.c (the meaning, as data)
 *                                                             ─▶ struct refusal
 *
 * In this order: a known plain reason ("insufficient_quota"); words; a vague reason ("invalid_request_error") and a status within
 * the body; the HTTP status. So a 400 about a key is FAILURE_ACCESS, and a 413 about tokens per minute FAILURE_RATE. An error inside a 200 or
 * a stream is treated alike, without a status: it means what the same body with one would. Any thread; bounded. */
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
    int64_t header_wait_ms; /* from Retry-After; -1: none */
};

struct refusal {
    enum failure_kind kind;
    char code[40]; /* the provider's if it looks like an identifier and is more specific than the status; else ours, or http_STATUS */
    int64_t wait_ms; /* from the body; -1: none */
    int64_t reset;   /* from the body (refusal_wait.h); -1: none */
    int64_t n_ctx, n_prompt; /* FAILURE_TOO_LONG: the server's limit and the request's size, in tokens; 0: not given */
    /* FAILURE_REQUEST: not clearly about one of the request's members: something in the messages may have caused it, perhaps an
     * older turn. */
    bool unexplained;
    /* The kind is known from words only, where by the status alone it would be the request's or the server's: and words may quote the request, if
     * that contains the evidence (refusal_words_are_in; NULL: any may). */
    bool may_be_quoted;
    const char *evidence;
    /* The provider's error text, owned: valid UTF-8 without control characters, at most REFUSAL_MESSAGE_BYTES_MAX; NULL: none. It may
     * quote the request: never for a log. */
    char *message;
};

/* secrets: masked in the text (NULL-terminated; NULL: none). The caller frees *ret by refusal_finish. */
void refusal_read(const struct refusal_facts *facts, const char *body, size_t size, const char *const *secrets, struct refusal *ret);
void refusal_read_json(const struct refusal_facts *facts, const json_t *root, const char *const *secrets, struct refusal *ret);
void refusal_finish(struct refusal *refusal);

/* What to do about it, for logs and errors: a line without any of the provider's text. */
const char *refusal_hint(const struct refusal *refusal, int http_status);

#endif
