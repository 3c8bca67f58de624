/* Members of a job that are none of ours: one that is a letter away from one of ours which isn't there is taken for a slip, and
 * the job refused, since what was meant by it would be left out; all others pass, for later versions and for readers of their own.
 * Pure; any thread. */
#ifndef CHAT_WIRE_JOB_UNKNOWN_H
#define CHAT_WIRE_JOB_UNKNOWN_H

#include "base/error.h"
#include "wire/json_member.h"
#include "wire/json_view.h"

/* Refuses a member of the object whose name, escapes undone, is one letter too many, too few, another, or two changed places away from
 * one of names (NULL-terminated, at most 64) that isn't in it, or the same in other case. before: the object's own path with its dot, for the message.
 * What is no object has no members. FAILED: *err is permanent, invalid_member. */
enum status members_misspelt(struct json_view object, const char *before, const char *const *names, struct error *err) MUST_CHECK;

#endif
