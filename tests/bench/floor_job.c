#include "floor_job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"

void floor_die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

struct floor_job *floor_job_read(rd_kafka_message_t *message)
{
    struct floor_job *job = xzalloc(sizeof *job);
    job->message = message;
    job->value = json_loadb(message->payload, message->len, 0, NULL);
    job->begin.claim.job_id = text_of(job->value, "id");
    job->begin.claim.session = text_of(job->value, "session");
    if (job->begin.claim.job_id == NULL || text_of(job->value, "message") == NULL)
        floor_die("job", "no id or no message");
    XXH128_hash_t hash = XXH3_128bits(message->payload, message->len);
    snprintf(job->fingerprint, sizeof job->fingerprint, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64, (uint64_t)hash.low64);
    snprintf(job->origin, sizeof job->origin, "%s-%" PRId32 "-%" PRId64, rd_kafka_topic_name(message->rkt), message->partition, message->offset);
    job->begin.fingerprint = job->fingerprint;
    job->begin.origin = job->origin;
    session_store_token(job->begin.claim.token);
    return job;
}

bool floor_job_begun(struct floor_job *job)
{
    const struct begin_op *begin = &job->begin;
    if (begin->error.class != ERROR_NONE)
        floor_die("begin", begin->error.message);
    if (begin->state == BEGIN_RUN)
        return true;
    if (begin->state != BEGIN_DONE || begin->reply == NULL)
        floor_die("begin", "another holds the job");
    job->reply = xstrdup(begin->reply);
    return false;
}

char *floor_job_request(const struct floor_job *job)
{
    json_t *messages = json_array();
    for (size_t i = 0; i < job->begin.turn_count; i++) {
        AUTO_JSON json_t *turn = json_loads(job->begin.turns[i], 0, NULL);
        json_array_extend(messages, json_object_get(turn, "messages"));
    }
    json_array_append_new(messages, json_pack("{s:s,s:O}", "role", "user", "content", json_object_get(job->value, "message")));
    AUTO_JSON json_t *request = json_pack("{s:s,s:o}", "model", "sim", "messages", messages);
    return json_dumps(request, JSON_COMPACT);
}

void floor_job_answered(struct floor_job *job, long status, const char *body, size_t size)
{
    AUTO_JSON json_t *answer = json_loadb(body, size, 0, NULL);
    json_t *said = json_object_get(json_array_get(json_object_get(answer, "choices"), 0), "message");
    if (status != 200 || said == NULL)
        floor_die("llm", "no message in the answer");
    const char *id = job->begin.claim.job_id, *session = job->begin.claim.session;
    AUTO_JSON json_t *reply = json_pack("{s:s,s:s?,s:s,s:O}", "job", id, "session", session, "status", "ok", "message", said);
    AUTO_JSON json_t *turn = json_pack("{s:s,s:[{s:s,s:O},O]}", "job", id, "messages", "role", "user", "content", json_object_get(job->value, "message"), said);
    job->reply = json_dumps(reply, JSON_COMPACT);
    job->turn = json_dumps(turn, JSON_COMPACT);
    job->finish = (struct finish_op){.claim = job->begin.claim,
                                     .end_state = END_OK,
                                     .fingerprint = job->fingerprint,
                                     .origin = job->origin,
                                     .reply = job->reply,
                                     .turn = session != NULL ? job->turn : NULL};
}

void floor_job_finished(const struct floor_job *job)
{
    if (job->finish.error.class != ERROR_NONE)
        floor_die("finish", job->finish.error.message);
    if (job->finish.state != FINISH_DONE)
        floor_die("finish", "the claim is lost");
}

void floor_job_free(struct floor_job *job)
{
    begin_op_finish(&job->begin);
    free(job->reply);
    free(job->turn);
    json_decref(job->value);
    rd_kafka_message_destroy(job->message);
    free(job);
}
