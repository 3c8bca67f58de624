/* Unknown members of a job: one whose name is a letter away from a known member which is missing counts as misspelt, and
 * the job is refused, since the intended member would be ignored; all others pass, for later versions and for the producer's own readers.
 * Pure; any thread. */
#ifndef CHAT_WIRE_JOB_UNKNOWN_H
#define CHAT_WIRE_JOB_UNKNOWN_H

#include "base/error.h"
#include "wire/json_member.h"
#include "wire/json_view.h"

/* Refuses a member of the object whose unescaped name is one edit (a letter inserted, deleted, replaced, or two swapped) away from
 * one of names (NULL-terminated, at most 64) that the object lacks, or differs in case only. before: the object's own path with its dot, for the message.
 * A value that isn't an object has no members. FAILED: *err is permanent, invalid_member. */
enum status members_misspelt(struct json_view object, const char *before, const char *const *names, struct error *err) MUST_CHECK;

#endif
