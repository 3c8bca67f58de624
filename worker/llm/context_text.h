/* Context sources as text: the address that a job asks and what it tells there, the part of the prompt that their answers make, and a moderation's
 * verdict. Pure; any thread. */
#ifndef CHAT_LLM_CONTEXT_TEXT_H
#define CHAT_LLM_CONTEXT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "settings/settings.h"
#include "wire/job.h"

/* What a job fills into an address. "" where it has none; never NULL. */
struct context_values {
    const char *session, *user, *job;
};

/* The job's metadata.user, where that is a string: owned by the caller; else NULL. metadata: JSON text, or NULL. */
char *context_user(const char *metadata) MUST_CHECK;

/* template with the values percent-encoded (RFC 3986: all but the unreserved) in the places of {session}, {user} and {job}. Owned
 * by the caller. NULL: this job has nothing to ask there, and *err, permanent, says why:
 *   empty_placeholder  a value is empty or blank: behind /users/ stand all users, and behind ?session= all sessions
 *   bad_url            the path would hold a "." or "..", which no encoding keeps from being taken for a step, or a value within it
 *                      is nothing but dots: one job would be told of another's */
char *context_url_fill(const char *template, const struct context_values *values, struct error *err) MUST_CHECK;

/* What a source is told of the job, as JSON: owned by the caller; NULL: nothing is sent.
 *   input     {"input":TEXT}: the texts of the new user messages, those of parts too, a line end between any two
 *   messages  {"job":ID,"session":S,"user":U,"messages":[…]}: the new messages as they came; S and U null where there is none */
char *context_body(enum context_send send, const struct job *job, const char *user) MUST_CHECK;

/* One source and what it brought. */
struct context_part {
    const char *name;
    const char *text; /* NULL: it brought none */
};

/* The prompt's part: template with each text in the place of {NAME}, once (what a text holds is not looked at); without a
 * template each text below a line with its name. Owned by the caller. NULL: there is nothing to say but white space. */
char *context_prompt_fill(const char *template, const struct context_part *parts, size_t count) MUST_CHECK;

/* Can it stand in a prompt? It is UTF-8 without a NUL. */
bool context_text_is_valid(const char *text, size_t size);

enum context_verdict { CONTEXT_ALLOWED, CONTEXT_REFUSED, CONTEXT_UNREADABLE };

/* {"allowed":true|false}, or OpenAI's {"results":[{"flagged":true|false},…]}; where both are there, either can refuse. Whatever
 * reason goes with it isn't read: it may quote the user. */
enum context_verdict context_verdict_read(const char *body, size_t size);

#endif
