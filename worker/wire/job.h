/* A chat job: the value of a record on the jobs topic, decoded. Pure; any thread. For producers of jobs: docs/jobs.md, "A job". */
#ifndef CHAT_WIRE_JOB_H
#define CHAT_WIRE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/record.h"

struct job {
    char *id;             /* never NULL; `<topic>-<partition>-<offset>` when the value has none */
    bool id_is_auto;      /* true: id was made from the record's topic, partition and offset */
    char *session;        /* NULL: no history (neither `session` nor a key; an empty key counts as none) */
    char *messages;       /* a JSON array of new messages, each an object with a string `role`: its original text; owned */
    char *params;         /* a JSON object, its original text, or NULL; owned */
    char *metadata;       /* any JSON value, its original text, or NULL; owned */
    bool stream;          /* deltas are wanted, too */
    int64_t deadline_ms;  /* from the record's timestamp (record_time.h); 0: none */
    size_t unknown_count; /* unknown top-level members (job_unknown_members) */
    char fingerprint[33]; /* hex of a 128-bit hash: of the value, and for an auto id of key and timestamp too */
};

struct job_limits {
    size_t bytes_max;
    size_t depth_max; /* nesting levels of arrays and objects; JOB_DEPTH_MAX except in tests */
    const char *const *models_allowed; /* NULL-terminated; NULL or empty: `model` in params is refused */
    int64_t max_tokens_max; /* the most that params may set as max_tokens or its synonyms; 0: any number */
    const char *const *metadata_members; /* members of metadata that the worker reads, NULL-terminated: refused if misspelt. NULL: none */
};

#define JOB_DEPTH_MAX 64
#define JOB_ID_BYTES_MAX 256 /* of an id in a job */
#define JOB_ID_MADE_BYTES_MAX (249 + 1 + 10 + 1 + 19) /* of one made from topic, partition and offset: a topic's name has at most 249 */

/* Decodes record's value. On STATUS_FAILED *err is permanent, its code is one of: tombstone, empty_value,
 * value_too_large, invalid_utf8, invalid_json, nested_too_deep, duplicate_member, integer_out_of_range,
 * invalid_member; its message names the member and the reason, never its content. *ret_job then still
 * contains what an error reply needs: id (always), session and metadata when they could be read.
 * The caller owns *ret_job in any case: job_finish. */
enum status job_decode(const struct record *record, const struct job_limits *limits, struct job *ret_job,
                       struct error *err) MUST_CHECK;
void job_finish(struct job *job);
/* Calls tell with each name of the record's unknown top-level members, in their order, unescaped; the record must have decoded. */
void job_unknown_members(const struct record *record, void (*tell)(const char *name, void *arg), void *arg);
/* The memory that a job owns. */
size_t job_bytes(const struct job *job);

/* The parts of a job for submission. */
struct job_parts {
    const char *id, *message;
    const char *session;  /* NULL: none */
    const char *params, *metadata; /* valid JSON, copied unchanged; NULL: none */
    bool stream;          /* deltas are wanted, too */
};
/* The job as a record's value: JSON text, owned by the caller; NULL when a text isn't UTF-8. A byte order mark before the message is omitted. */
char *job_encode(const struct job_parts *parts) MUST_CHECK;

/* A new time-ordered id (26 characters, ULID: https://github.com/ulid/spec). out holds 27 bytes. */
void job_id_new(char out[27]);

#endif
