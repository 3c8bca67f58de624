#include "wire/job_partial.h"

#include <string.h>

#include "wire/job_members.h"
#include "wire/job_scan.h"
#include "wire/job_syntax.h"
#include "wire/json_check.h"
#include "wire/json_member.h"

/* Can this member of a malformed value be used by itself? */
static bool is_sound(const struct json_member *member, const struct job_limits *limits)
{
    /* Nor a NUL: a text that is returned unchanged must not contain one. */
    if (!member->whole || member->value_size > limits->bytes_max || memchr(member->value, '\0', member->value_size) != NULL ||
        utf8_invalid_at(member->value, member->value_size) != SCAN_NOWHERE ||
        json_check_within(member->value, member->value_size, job_depth_max(limits) - 1, NULL).kind != JSON_FINE)
        return false;
    struct error ignored;
    return job_values((struct json_view){member->value, member->value_size}, &ignored) == STATUS_OK;
}

void job_partial_find(const struct record *record, const struct job_limits *limits, struct json_view ret_of[JOB_NAMES])
{
    static const enum job_name wanted[] = {NAME_ID, NAME_SESSION, NAME_METADATA};
    bool seen[JOB_NAMES] = {false};
    struct json_member member = {.at = record->value, .end = (const char *)record->value + record->value_size};
    memset(ret_of, 0, JOB_NAMES * sizeof *ret_of);
    while (record->value != NULL && json_member_next(&member)) {
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            enum job_name which = wanted[i];
            if (!json_member_is(&member, job_names[which]) || !member.whole)
                continue;
            bool usable = !seen[which] && is_sound(&member, limits);
            ret_of[which] = usable ? (struct json_view){member.value, member.value_size} : (struct json_view){0};
            seen[which] = true;
        }
    }
}
