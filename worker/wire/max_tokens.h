/* The members of a request by which it says how long its answer may be, in the dialects that OpenAI-compatible servers speak.
 * Pure; any thread. */
#ifndef CHAT_WIRE_MAX_TOKENS_H
#define CHAT_WIRE_MAX_TOKENS_H

#include <stdint.h>

#include "base/error.h"
#include "wire/json_view.h"

/* The most that the top-level object in a JSON text names; 0: it names none. At most INT64_MAX. Servers take a number with an
 * exponent, and some a string, for the number it stands for: so does this. */
int64_t max_tokens_read(const char *json);

/* Refuses params (a job's, none or an object) that name more than max (0: any number), or what is no whole number from 1 on, since servers take that for
 * "any number"; null is as good as not there. FAILED: *err, permanent, names the member and the limit. */
enum status max_tokens_check(struct json_view params, int64_t max, struct error *err) MUST_CHECK;

#endif
