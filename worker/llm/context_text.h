/* Context sources as text: a job's address and request body for a source, the part of the prompt made from the responses, and a moderation's
 * verdict. Pure; any thread. */
#ifndef CHAT_LLM_CONTEXT_TEXT_H
#define CHAT_LLM_CONTEXT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "settings/settings.h"
#include "wire/job.h"

/* A job's values for an address. "" where it has none; never NULL. */
struct context_values {
    const char *session, *user, *job;
};

/* The job's metadata.user, where that is a string: owned by the caller; else NULL. metadata: JSON text, or NULL. */
char *context_user(const char *metadata) MUST_CHECK;

/* template with the values percent-encoded (RFC 3986: all but the unreserved) in the places of {session}, {user} and {job}. Owned
 * by the caller. NULL: this job has no address there, and *err, permanent, contains why:
 *   empty_placeholder  a value is empty or blank: /users/ would be all users, and ?session= all sessions
 *   bad_url            the path would contain a "." or "..", which no encoding keeps from being resolved, or a value within it
 *                      consists of dots: one job would get data of another's */
char *context_url_fill(const char *template, const struct context_values *values, struct error *err) MUST_CHECK;

/* The request body for a source, as JSON: owned by the caller; NULL: none is sent.
 *   input     {"input":TEXT}: the texts of the new user messages, those of parts too, a line end between any two
 *   messages  {"job":ID,"session":S,"user":U,"messages":[…]}: the new messages as they came; S and U null where there is none */
char *context_body(enum context_send send, const struct job *job, const char *user) MUST_CHECK;

/* One source and its response. */
struct context_part {
    const char *name;
    const char *text; /* NULL: none */
};

/* The prompt's part: template with {NAME} replaced by each text, once (placeholders within a text are not replaced); without a
 * template each text below a line with its name. Owned by the caller. NULL: it would be white space only. */
char *context_prompt_fill(const char *template, const struct context_part *parts, size_t count) MUST_CHECK;

/* Can the text be in a prompt? If it is UTF-8 without a NUL. */
bool context_text_is_valid(const char *text, size_t size);

enum context_verdict { CONTEXT_ALLOWED, CONTEXT_REFUSED, CONTEXT_UNREADABLE };

/* {"allowed":true|false}, or OpenAI's {"results":[{"flagged":true|false},…]}; with both, either can refuse. A
 * reason isn't read: it may quote the user. */
enum context_verdict context_verdict_read(const char *body, size_t size);

#endif
