/* The rules for what a job holds, once it is JSON. Private to wire/job.c. Each returns STATUS_FAILED with a
 * permanent error that names the member by its path and never quotes its content. */
#ifndef CHAT_WIRE_JOB_MEMBERS_H
#define CHAT_WIRE_JOB_MEMBERS_H

#include <jansson.h>

#include "base/error.h"

/* What JSON calls the value, with its article, for "must be a string, not ...". */
const char *json_kind(const json_t *value);

/* `messages`, or `message` as one user message; exactly one of them. *ret_messages is owned. */
enum status job_messages(json_t *root, json_t **ret_messages, struct error *err) MUST_CHECK;
/* `params`: absent, or an object without what is the worker's to set. */
enum status job_params(const json_t *root, const char *const *models_allowed, struct error *err) MUST_CHECK;
/* Looks through the whole tree for integers beyond 2^53, where other JSON readers lose digits, and for strings
 * with NUL characters, which C libraries further on would cut. Costs a walk: only for suspicious values. */
enum status job_values(json_t *root, struct error *err) MUST_CHECK;

#endif
