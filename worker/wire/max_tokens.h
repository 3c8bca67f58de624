/* The members of a request that limit its answer's length, in the dialects of OpenAI-compatible servers.
 * Pure; any thread. */
#ifndef CHAT_WIRE_MAX_TOKENS_H
#define CHAT_WIRE_MAX_TOKENS_H

#include <stdint.h>

#include "base/error.h"
#include "wire/json_view.h"

/* The largest such limit in the top-level object of a JSON text; 0: none. At most INT64_MAX. As servers do, accepts a number with an
 * exponent, and a string with a number. */
int64_t max_tokens_read(const char *json);

/* Refuses params (a job's, none or an object) with more than max (0: any number), or with a value that is no whole number from 1 on, which servers treat as
 * "any number"; null counts as missing. FAILED: *err, permanent, names the member and the limit. */
enum status max_tokens_check(struct json_view params, int64_t max, struct error *err) MUST_CHECK;

#endif
