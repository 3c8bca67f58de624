/* The rules for a job's members, once it is JSON. Private to wire/job.c. Each returns STATUS_FAILED with a
 * permanent error that names the member by its path and never quotes its content. */
#ifndef CHAT_WIRE_JOB_MEMBERS_H
#define CHAT_WIRE_JOB_MEMBERS_H

#include "base/error.h"
#include "wire/json_view.h"

/* `messages`, or `message` as one user message; exactly one of them. *ret_messages is owned. */
enum status job_messages(struct json_view message, struct json_view messages, char **ret_messages, struct error *err) MUST_CHECK;
/* `params`: none, or an object without members that only the worker sets. */
enum status job_params(struct json_view params, const char *const *models_allowed, struct error *err) MUST_CHECK;
/* Searches the whole value for integers beyond 2^53, for which other JSON readers lose digits, and for strings
 * with NUL characters, at which C libraries would cut. Costs a walk: only for suspicious values. Recurses as deep as
 * the value is nested, which was bounded before. */
enum status job_values(struct json_view root, struct error *err) MUST_CHECK;

#endif
