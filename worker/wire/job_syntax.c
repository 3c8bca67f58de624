#include "wire/job_syntax.h"

#include <string.h>

#include "wire/job_members.h"
#include "wire/job_names.h"
#include "wire/job_scan.h"
#include "wire/json_check.h"
#include "wire/json_fault.h"
#include "wire/json_member.h"
#include "wire/json_view.h"

#define REFUSE(err, code, ...) error_set((err), ERROR_PERMANENT, (code), __VA_ARGS__)

/* Prefix for a fault at a byte of a value that can't be parsed: the top-level member that contains it, if it is a
 * known one (an unknown name may be anything, even invalid itself). */
static const char *member_at(const struct record *record, size_t offset)
{
    const char *json = record->value;
    struct json_member member = {.at = json, .end = json + record->value_size};
    while (json_member_next(&member)) {
        size_t from = (size_t)(member.name - json);
        size_t to = (size_t)(member.value - json) + member.value_size;
        if (offset < from)
            break;
        enum job_name which = offset <= to ? job_names_find(&member) : JOB_NAMES;
        if (which < JOB_NAMES)
            return job_names[which];
    }
    return "the value";
}

size_t job_depth_max(const struct job_limits *limits)
{
    return limits->depth_max > 0 ? limits->depth_max : JOB_DEPTH_MAX;
}

static enum status refuse_json(const struct record *record, const struct job_limits *limits, const struct json_fault *fault, struct error *err)
{
    if (fault->kind == JSON_TOO_DEEP)
        return REFUSE(err, "nested_too_deep", "%s: nested deeper than %zu levels at byte %zu", member_at(record, fault->at), job_depth_max(limits), fault->at);
    bool whole = fault->kind == JSON_ENDS_EARLY || fault->kind == JSON_GOES_ON;
    return json_fault_set(err, whole ? "the value" : member_at(record, fault->at), record->value, record->value_size, fault);
}

/* The checks that need no parsing. */
static enum status check_bytes(const struct record *record, const struct job_limits *limits, struct error *err)
{
    const char *value = record->value;
    size_t size = record->value_size;
    if (value == NULL)
        return REFUSE(err, "tombstone", "the value: null (a tombstone) is not a job");
    if (size == 0)
        return REFUSE(err, "empty_value", "the value: empty; a job is a JSON object");
    if (size > limits->bytes_max)
        return REFUSE(err, "value_too_large", "the value: %zu bytes, %zu are allowed (worker.job_bytes_max)", size,
                      limits->bytes_max);
    const char *nul = memchr(value, '\0', size);
    if (nul != NULL)
        return REFUSE(err, "invalid_json", "%s: a NUL byte at byte %zu", member_at(record, (size_t)(nul - value)),
                      (size_t)(nul - value));
    size_t bad = utf8_invalid_at(value, size);
    if (bad != SCAN_NOWHERE)
        return REFUSE(err, "invalid_utf8", "%s: not UTF-8 at byte %zu", member_at(record, bad), bad);
    return STATUS_OK;
}

enum status job_syntax_check(const struct record *record, const struct job_limits *limits, struct error *err)
{
    struct json_oddities odd;
    if (check_bytes(record, limits, err) != STATUS_OK)
        return STATUS_FAILED;
    const char *value = record->value;
    struct json_fault fault = json_check_within(value, record->value_size, job_depth_max(limits), &odd);
    if (fault.kind != JSON_FINE)
        return refuse_json(record, limits, &fault, err);
    struct json_view root = json_view_of(value, value + record->value_size);
    if ((odd.has_nul || odd.has_long_number) && job_values(root, err) != STATUS_OK)
        return STATUS_FAILED;
    if (json_view_type(root) != JSON_OBJECT)
        return REFUSE(err, "invalid_member", "the value: must be a JSON object, not %s", json_view_kind(root));
    return STATUS_OK;
}
