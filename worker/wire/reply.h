/* A reply: the value of a record on the replies topic. Pure; any thread. For consumers: docs/jobs.md, "A reply". */
#ifndef CHAT_WIRE_REPLY_H
#define CHAT_WIRE_REPLY_H

#include <jansson.h>

#include "base/error.h"
#include "wire/job.h"

/* -1: not returned by the provider: unknown, never zero. */
struct usage {
    int64_t prompt_tokens;
    int64_t completion_tokens;
    int64_t total_tokens;
};

struct reply_timing {
    int64_t queued_ms; /* from intake to begin */
    int64_t context_ms;
    int64_t llm_ms;
    int64_t total_ms; /* from intake to encoding */
};

/* Success. message is borrowed. model, finish_reason may be NULL. */
struct reply_ok {
    json_t *message;
    const char *finish_reason;
    const char *model;
    const char *provider;
    struct usage usage;
    int attempts;
    size_t history_left_out; /* turns of the history that the request omitted; 0: not written */
    struct reply_timing timing;
};

/* Both return JSON text (no newline), owned by the caller. metadata is copied unchanged. */
char *reply_encode_ok(const struct job *job, const struct reply_ok *reply) MUST_CHECK;
/* provider may be NULL; so may provider_message, its error text, which isn't written then. By class: cancelled has the status "cancelled", all
 * others "error"; retriable and unavailable are "retriable": true. Bytes that aren't UTF-8 are replaced by '?'. */
char *reply_encode_error(const struct job *job, const struct error *why, const char *provider, const char *provider_message, int attempts,
                         const struct reply_timing *timing) MUST_CHECK;

/* For readers (chat-producer ask). All strings borrowed from `root`. */
struct reply_view {
    json_t *root; /* owned: json_decref */
    const char *job;
    const char *status;  /* "ok", "error", "cancelled" */
    const char *content; /* NULL when the message has no text */
    const char *finish_reason;
    const char *error_code;
    const char *error_message;
    const char *provider_message; /* NULL: none */
};
enum status reply_decode(const void *value, size_t size, struct reply_view *ret_view, struct error *err) MUST_CHECK;

#endif
