#include "wire/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/byte_order_mark.h"
#include "base/cleanup.h"
#include "wire/job_members.h"
#include "wire/job_names.h"
#include "wire/job_partial.h"
#include "wire/job_scan.h"
#include "wire/job_syntax.h"
#include "wire/job_unknown.h"
#include "wire/json_member.h"
#include "wire/json_view.h"
#include "wire/max_tokens.h"

#define REFUSE(err, code, ...) error_set((err), ERROR_PERMANENT, (code), __VA_ARGS__)

/* Their places in the record's value. */
struct members {
    struct json_view of[JOB_NAMES];
    size_t unknown_count;
};

static struct members find_members(const struct record *record)
{
    struct members found = {0};
    struct json_member member = {.at = record->value, .end = (const char *)record->value + record->value_size};
    while (json_member_next(&member)) {
        enum job_name which = job_names_find(&member);
        if (which == JOB_NAMES)
            found.unknown_count++;
        else
            found.of[which] = (struct json_view){member.value, member.value_size};
    }
    return found;
}

static char *text_of(struct json_view value)
{
    return value.size > 0 ? xmemdup0(value.text, value.size) : NULL;
}

static enum status take_id(const struct members *members, struct job *job, struct error *err)
{
    struct json_view value = members->of[NAME_ID];
    if (value.size == 0)
        return STATUS_OK;
    size_t size;
    AUTO_FREE char *id = json_view_decode(value, &size);
    if (id == NULL)
        return REFUSE(err, "invalid_member", "id: must be a string, not %s", json_view_kind(value));
    if (size == 0)
        return REFUSE(err, "invalid_member", "id: must not be empty; without one, leave it out");
    if (size > JOB_ID_BYTES_MAX)
        return REFUSE(err, "invalid_member", "id: %zu bytes, %d are allowed", size, JOB_ID_BYTES_MAX);
    job->id = steal_ptr(&id);
    return STATUS_OK;
}

static enum status take_session(const struct members *members, struct job *job, struct error *err)
{
    struct json_view value = members->of[NAME_SESSION];
    if (value.size == 0)
        return STATUS_OK;
    if (json_view_type(value) != JSON_STRING)
        return REFUSE(err, "invalid_member", "session: must be a string, not %s", json_view_kind(value));
    if (!json_view_is_filled(value))
        return REFUSE(err, "invalid_member", "session: must not be empty; without one, leave it out");
    job->session = json_view_decode(value, NULL);
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

static enum status take_deadline(const struct members *members, struct job *job, struct error *err)
{
    struct json_view value = members->of[NAME_DEADLINE_MS];
    if (value.size == 0)
        return STATUS_OK;
    if (json_view_type(value) != JSON_INTEGER)
        return REFUSE(err, "invalid_member", "deadline_ms: must be a whole number of milliseconds, not %s",
                      json_view_kind(value));
    long long deadline_ms = strtoll(value.text, NULL, 10); /* a brace or a comma ends it */
    if (deadline_ms < 0)
        return REFUSE(err, "invalid_member", "deadline_ms: must not be negative");
    job->deadline_ms = deadline_ms;
    return STATUS_OK;
}

static enum status take_stream(const struct members *members, struct job *job, struct error *err)
{
    struct json_view value = members->of[NAME_STREAM];
    int type = json_view_type(value);
    if (type != JSON_VIEW_NONE && type != JSON_TRUE && type != JSON_FALSE)
        return REFUSE(err, "invalid_member", "stream: must be true or false, not %s", json_view_kind(value));
    job->stream = type == JSON_TRUE;
    return STATUS_OK;
}

static enum status check_names(const struct record *record, const struct members *members, const struct job_limits *limits, struct error *err)
{
    struct json_view root = json_view_of(record->value, (const char *)record->value + record->value_size);
    if (members->unknown_count > 0 && members_misspelt(root, "", job_names, err) != STATUS_OK)
        return STATUS_FAILED;
    return limits->metadata_members != NULL ? members_misspelt(members->of[NAME_METADATA], "metadata.", limits->metadata_members, err) : STATUS_OK;
}

/* Members for an error reply come first and are taken even when some are wrong; the first fault is the one
 * reported (error_set ignores NULL). */
static enum status take_members(const struct record *record, const struct job_limits *limits, struct job *job,
                                struct error *err)
{
    struct members members = find_members(record);
    job->metadata = text_of(members.of[NAME_METADATA]);
    enum status status = take_id(&members, job, err);
    enum status session = take_session(&members, job, status == STATUS_OK ? err : NULL);
    if (members.of[NAME_SESSION].size == 0)
        session = session_from_key(record, job, status == STATUS_OK ? err : NULL);
    if (status != STATUS_OK || session != STATUS_OK)
        return STATUS_FAILED;
    job->unknown_count = members.unknown_count;
    if (check_names(record, &members, limits, err) != STATUS_OK || take_deadline(&members, job, err) != STATUS_OK || take_stream(&members, job, err) != STATUS_OK ||
        job_params(members.of[NAME_PARAMS], limits->models_allowed, err) != STATUS_OK ||
        max_tokens_check(members.of[NAME_PARAMS], limits->max_tokens_max, err) != STATUS_OK)
        return STATUS_FAILED;
    job->params = text_of(members.of[NAME_PARAMS]);
    return job_messages(members.of[NAME_MESSAGE], members.of[NAME_MESSAGES], &job->messages, err);
}

/* For a value that is refused as a whole: takes the members for an error reply. */
static void take_partial(const struct record *record, const struct job_limits *limits, struct job *job)
{
    struct members members = {0};
    job_partial_find(record, limits, members.of);
    job->metadata = text_of(members.of[NAME_METADATA]);
    (void)take_id(&members, job, NULL);
    if (take_session(&members, job, NULL) == STATUS_OK && job->session == NULL)
        (void)session_from_key(record, job, NULL);
}

static void write_hex(XXH128_hash_t hash, char out[33])
{
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64, (uint64_t)hash.low64);
}

/* An auto id names topic, partition and offset, and a recreated topic starts again at offset 0: key and time distinguish these. */
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

/* Borrowed from the record; byte offsets in error messages are counted from here. */
static struct record without_mark(const struct record *record)
{
    struct record bare = *record;
    size_t mark = record->value != NULL ? byte_order_mark_size(record->value, record->value_size) : 0;
    if (mark > 0) {
        bare.value = (char *)record->value + mark;
        bare.value_size -= mark;
    }
    return bare;
}

enum status job_decode(const struct record *marked, const struct job_limits *limits, struct job *ret_job,
                       struct error *err)
{
    struct record bare = without_mark(marked);
    const struct record *record = &bare;
    *ret_job = (struct job){0};
    enum status status = job_syntax_check(record, limits, err);
    if (status == STATUS_OK)
        status = take_members(record, limits, ret_job, err);
    else
        take_partial(record, limits, ret_job);
    if (ret_job->id == NULL) {
        ret_job->id = xasprintf("%s-%" PRId32 "-%" PRId64, record->topic, record->partition, record->offset);
        ret_job->id_is_auto = true;
    }
    fill_fingerprint(record, ret_job);
    return status;
}

void job_unknown_members(const struct record *marked, void (*tell)(const char *name, void *arg), void *arg)
{
    struct record record = without_mark(marked);
    struct json_member member = {.at = record.value, .end = (const char *)record.value + record.value_size};
    while (json_member_next(&member)) {
        if (job_names_find(&member) < JOB_NAMES)
            continue;
        AUTO_FREE char *name = json_view_decode((struct json_view){member.name - 1, member.name_size + 2}, NULL);
        tell(name != NULL ? name : "", arg);
    }
}

void job_finish(struct job *job)
{
    free(job->id);
    free(job->session);
    free(job->messages);
    free(job->params);
    free(job->metadata);
    *job = (struct job){0};
}

size_t job_bytes(const struct job *job)
{
    return text_bytes(job->id) + text_bytes(job->session) + text_bytes(job->messages) + text_bytes(job->params) +
           text_bytes(job->metadata);
}
