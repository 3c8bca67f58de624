/* Can this Redis serve the worker? Checked at the start and by --check-config --connect: each script is really called once,
 * on keys of its own (a random id under the key prefix; deleted afterwards, and they expire within a day), so that
 * a missing right, command or version is reported before a job fails on it.
 *
 * One connection at a time, a few round trips; blocks up to redis.timeout_ms for each. Any thread. */
#ifndef CHAT_SERVICE_REDIS_CHECK_H
#define CHAT_SERVICE_REDIS_CHECK_H

#include "base/error.h"

struct redis_pool;

/* Logs a warning for a server that may evict keys, or is older than the oldest supported version. FAILED: ERROR_UNAVAILABLE for an outage, which
 * may pass; ERROR_PERMANENT for what an operator has to fix: the message names the ACL rule, the command or the version. */
enum status redis_check(struct redis_pool *pool, const char *key_prefix, struct error *err) MUST_CHECK;

#endif
