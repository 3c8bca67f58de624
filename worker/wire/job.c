#include "wire/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/job_members.h"
#include "wire/job_scan.h"
#include "wire/json_member.h"

#define ID_BYTES_MAX 256

#define REFUSE(err, code, ...) error_set((err), ERROR_PERMANENT, (code), __VA_ARGS__)

/* Prefix for a fault at a byte of a value that can't be parsed: the top-level member it lies in, if that is one
 * of ours (a name we don't know may be anything, also invalid itself). */
static const char *member_at(const struct record *record, size_t offset)
{
    static const char *const known[] = {"id",     "session",     "message", "messages",
                                        "params", "deadline_ms", "metadata"};
    const char *json = record->value;
    struct json_member member = {.at = json, .end = json + record->value_size};
    while (json_member_next(&member)) {
        size_t from = (size_t)(member.name - json);
        size_t to = (size_t)(member.value - json) + member.value_size;
        if (offset < from)
            break;
        for (size_t i = 0; offset <= to && i < sizeof known / sizeof *known; i++)
            if (json_member_is(&member, known[i]))
                return known[i];
    }
    return "the value";
}

/* The name that ends, with its quote, before byte `at`; what isn't plain is shown as '?'. */
static void name_before(const struct record *record, size_t at, char *out, size_t out_size)
{
    const char *json = record->value;
    size_t to = at <= record->value_size ? at : record->value_size;
    while (to > 0 && json[to - 1] != '"')
        to--;
    to -= to > 0;
    size_t from = to;
    while (from > 0 && (json[from - 1] != '"' || (from > 1 && json[from - 2] == '\\')))
        from--;
    snprintf(out, out_size, "%.*s", to - from > 40 ? 40 : (int)(to - from), json + from);
    for (; *out != '\0'; out++)
        if (*out < ' ' || *out > '~')
            *out = '?';
}

static enum status refuse_json(const struct record *record, const json_error_t *fault, struct error *err)
{
    size_t at = fault->position > 0 ? (size_t)fault->position : 0;
    const char *where = member_at(record, at);
    char name[48];
    switch (json_error_code(fault)) {
    case json_error_out_of_memory: /* not the job's fault: no dead letter */
        fputs("out of memory\n", stderr);
        abort();
    case json_error_duplicate_key:
        name_before(record, at, name, sizeof name);
        return REFUSE(err, "duplicate_member", "%s: the member \"%s\" is there twice, again at byte %zu; keep one", where,
                      name, at);
    case json_error_numeric_overflow:
        return REFUSE(err, "integer_out_of_range", "%s: the number at byte %zu is out of range; send it as a string",
                      where, at);
    case json_error_stack_overflow:
        return REFUSE(err, "nested_too_deep", "%s: nested too deep at byte %zu", where, at);
    case json_error_invalid_utf8:
        return REFUSE(err, "invalid_utf8", "%s: not UTF-8 at byte %zu", where, at);
    case json_error_null_byte_in_key:
        return REFUSE(err, "invalid_json", "%s: a member's name holds a NUL character (\\u0000)", where);
    case json_error_premature_end_of_input:
        return REFUSE(err, "invalid_json", "the value: the JSON text ends too early, at byte %zu", at);
    case json_error_end_of_input_expected:
        return REFUSE(err, "invalid_json", "the value: more text after the JSON, at byte %zu", at);
    default: /* jansson's own words quote the text, which may be private */
        return REFUSE(err, "invalid_json", "%s: not JSON at byte %zu", where, at);
    }
}

/* What can be known without parsing. */
static enum status check_bytes(const struct record *record, const struct job_limits *limits, struct job_scan *ret_scan,
                               struct error *err)
{
    const char *value = record->value;
    size_t size = record->value_size;
    size_t depth_max = limits->depth_max > 0 ? limits->depth_max : JOB_DEPTH_MAX;
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
    *ret_scan = job_scan(value, size, depth_max);
    if (ret_scan->too_deep_at != SCAN_NOWHERE)
        return REFUSE(err, "nested_too_deep", "%s: nested deeper than %zu levels at byte %zu",
                      member_at(record, ret_scan->too_deep_at), depth_max, ret_scan->too_deep_at);
    if (ret_scan->lone_surrogate_at != SCAN_NOWHERE)
        return REFUSE(err, "invalid_utf8", "%s: half a surrogate pair (\\ud800 to \\udfff) at byte %zu",
                      member_at(record, ret_scan->lone_surrogate_at), ret_scan->lone_surrogate_at);
    return STATUS_OK;
}

static enum status parse(const struct record *record, const struct job_limits *limits, json_t **ret_root,
                         struct error *err)
{
    struct job_scan scan;
    if (check_bytes(record, limits, &scan, err) != STATUS_OK)
        return STATUS_FAILED;
    json_error_t fault;
    /* NULs are let in so that job_values can say where they stand. */
    json_t *root = json_loadb(record->value, record->value_size,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &fault);
    if (root == NULL)
        return refuse_json(record, &fault, err);
    enum status status = STATUS_OK;
    if (scan.has_nul_escape || scan.has_long_number)
        status = job_values(root, err);
    if (status == STATUS_OK && !json_is_object(root))
        status = REFUSE(err, "invalid_member", "the value: must be a JSON object, not %s", json_kind(root));
    if (status == STATUS_OK)
        *ret_root = root;
    else
        json_decref(root);
    return status;
}

static char *fresh_copy(const json_t *text)
{
    return xmemdup0(json_string_value(text), json_string_length(text));
}

static enum status take_id(const json_t *root, struct job *job, struct error *err)
{
    const json_t *id = json_object_get(root, "id");
    if (id == NULL)
        return STATUS_OK;
    if (!json_is_string(id))
        return REFUSE(err, "invalid_member", "id: must be a string, not %s", json_kind(id));
    if (json_string_length(id) == 0)
        return REFUSE(err, "invalid_member", "id: must not be empty; without one, leave it out");
    if (json_string_length(id) > ID_BYTES_MAX)
        return REFUSE(err, "invalid_member", "id: %zu bytes, %d are allowed", json_string_length(id), ID_BYTES_MAX);
    job->id = fresh_copy(id);
    return STATUS_OK;
}

static enum status take_session(const json_t *root, struct job *job, struct error *err)
{
    const json_t *session = json_object_get(root, "session");
    if (session == NULL)
        return STATUS_OK;
    if (!json_is_string(session))
        return REFUSE(err, "invalid_member", "session: must be a string, not %s", json_kind(session));
    if (json_string_length(session) == 0)
        return REFUSE(err, "invalid_member", "session: must not be empty; without one, leave it out");
    job->session = fresh_copy(session);
    return STATUS_OK;
}

/* An empty key names no session, as none does. */
static enum status session_from_key(const struct record *record, struct job *job, struct error *err)
{
    if (record->key == NULL || record->key_size == 0)
        return STATUS_OK;
    size_t bad = utf8_invalid_at(record->key, record->key_size);
    if (bad != SCAN_NOWHERE)
        return REFUSE(err, "invalid_utf8", "the record's key: stands in for session, but is not UTF-8 at byte %zu", bad);
    if (memchr(record->key, '\0', record->key_size) != NULL)
        return REFUSE(err, "invalid_member", "the record's key: stands in for session, but holds a NUL byte");
    job->session = xmemdup0(record->key, record->key_size);
    return STATUS_OK;
}

static enum status take_deadline(const json_t *root, struct job *job, struct error *err)
{
    const json_t *deadline = json_object_get(root, "deadline_ms");
    if (deadline == NULL)
        return STATUS_OK;
    if (!json_is_integer(deadline))
        return REFUSE(err, "invalid_member", "deadline_ms: must be a whole number of milliseconds, not %s",
                      json_kind(deadline));
    if (json_integer_value(deadline) < 0)
        return REFUSE(err, "invalid_member", "deadline_ms: must not be negative");
    job->deadline_ms = json_integer_value(deadline);
    return STATUS_OK;
}

static enum status take_stream(const json_t *root, struct job *job, struct error *err)
{
    const json_t *stream = json_object_get(root, "stream");
    if (stream != NULL && !json_is_boolean(stream))
        return REFUSE(err, "invalid_member", "stream: must be true or false, not %s", json_kind(stream));
    job->stream = json_is_true(stream);
    return STATUS_OK;
}

/* A top-level member's text as it came; NULL: there is none. */
static char *member_text(const struct record *record, const json_t *root, const char *name)
{
    const json_t *value = json_object_get(root, name);
    if (value == NULL)
        return NULL;
    struct json_member member = {.at = record->value, .end = (const char *)record->value + record->value_size};
    while (json_member_next(&member))
        if (json_member_is(&member, name) && member.whole)
            return xmemdup0(member.value, member.value_size);
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY); /* its name was written with escapes */
}

/* What an error reply needs comes first and is taken even when part of it is wrong; the first fault is the one
 * reported (error_set leaves a NULL alone). */
static enum status take_members(const struct record *record, const struct job_limits *limits, json_t *root,
                                struct job *job, struct error *err)
{
    job->metadata = member_text(record, root, "metadata");
    enum status status = take_id(root, job, err);
    enum status session = take_session(root, job, status == STATUS_OK ? err : NULL);
    if (json_object_get(root, "session") == NULL)
        session = session_from_key(record, job, status == STATUS_OK ? err : NULL);
    if (status != STATUS_OK || session != STATUS_OK)
        return STATUS_FAILED;
    if (take_deadline(root, job, err) != STATUS_OK || take_stream(root, job, err) != STATUS_OK || job_params(root, limits->models_allowed, err) != STATUS_OK)
        return STATUS_FAILED;
    job->params = member_text(record, root, "params");
    return job_messages(root, &job->messages, err);
}

/* A value that didn't parse: reads the few members an error reply needs one by one. A member that is there twice,
 * cut off or itself at fault is left out. */
static void salvage(const struct record *record, const struct job_limits *limits, struct job *job)
{
    static const char *const wanted[] = {"id", "session", "metadata"};
    if (record->value == NULL) {
        session_from_key(record, job, NULL);
        return;
    }
    AUTO_JSON json_t *root = json_object();
    bool seen[sizeof wanted / sizeof *wanted] = {false};
    size_t depth_max = limits->depth_max > 0 ? limits->depth_max : JOB_DEPTH_MAX;
    struct json_member member = {.at = record->value, .end = (const char *)record->value + record->value_size};
    while (json_member_next(&member)) {
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            if (!json_member_is(&member, wanted[i]) || !member.whole)
                continue;
            bool again = seen[i];
            seen[i] = true;
            json_object_del(root, wanted[i]);
            /* jansson takes a NUL behind a number for white space; what goes back as it came must not hold one. */
            if (again || member.value_size > limits->bytes_max || memchr(member.value, '\0', member.value_size) != NULL ||
                job_scan(member.value, member.value_size, depth_max - 1).too_deep_at != SCAN_NOWHERE)
                continue;
            json_t *value = json_loadb(member.value, member.value_size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
            struct error ignored;
            if (value != NULL && job_values(value, &ignored) == STATUS_OK)
                json_object_set_nocheck(root, wanted[i], value);
            json_decref(value);
        }
    }
    job->metadata = member_text(record, root, "metadata");
    take_id(root, job, NULL);
    if (take_session(root, job, NULL) == STATUS_OK && job->session == NULL)
        session_from_key(record, job, NULL);
}

static void write_hex(XXH128_hash_t hash, char out[33])
{
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64, (uint64_t)hash.low64);
}

/* An auto id names a place, and a topic made anew starts again at offset 0: key and time tell those apart. */
static void fill_fingerprint(const struct record *record, struct job *job)
{
    XXH128_hash_t of_value = XXH3_128bits(record->value, record->value == NULL ? 0 : record->value_size);
    if (job->id_is_auto) {
        XXH128_hash_t of_key = XXH3_128bits(record->key, record->key == NULL ? 0 : record->key_size);
        uint64_t parts[] = {of_value.high64, of_value.low64,    of_key.high64,
                            of_key.low64,    record->key != NULL, (uint64_t)record->timestamp_ms};
        of_value = XXH3_128bits(parts, sizeof parts);
    }
    write_hex(of_value, job->fingerprint);
}

enum status job_decode(const struct record *record, const struct job_limits *limits, struct job *ret_job,
                       struct error *err)
{
    AUTO_JSON json_t *root = NULL;
    *ret_job = (struct job){0};
    enum status status = parse(record, limits, &root, err);
    if (status == STATUS_OK)
        status = take_members(record, limits, root, ret_job, err);
    else
        salvage(record, limits, ret_job);
    if (ret_job->id == NULL) {
        ret_job->id = xasprintf("%s-%" PRId32 "-%" PRId64, record->topic, record->partition, record->offset);
        ret_job->id_is_auto = true;
    }
    fill_fingerprint(record, ret_job);
    return status;
}

void job_finish(struct job *job)
{
    free(job->id);
    free(job->session);
    json_decref(job->messages);
    free(job->params);
    free(job->metadata);
    *job = (struct job){0};
}
