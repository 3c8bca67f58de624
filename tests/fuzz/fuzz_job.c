/* Any bytes as a record's value: a job or a clear refusal, and in both cases an error reply and a dead letter that are JSON. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "wire/job.h"
#include "wire/reply.h"

static void hear(const char *name, void *arg)
{
    *(size_t *)arg += strlen(name) < 65536;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_json(const char *text)
{
    AUTO_JSON json_t *value = json_loads(text, 0, NULL);
    if (value == NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *value = malloc(size + 1);
    memcpy(value, data, size);
    value[size] = '\0';
    char topic[] = "jobs", key[] = "k";
    struct record record = {.topic = topic, .key = key, .key_size = 1, .value = value, .value_size = size, .timestamp_ms = 1};
    static const char *const models[] = {"large", NULL};
    static const char *const read[] = {"tenant", NULL};
    struct job_limits limits = {.bytes_max = 65536, .depth_max = JOB_DEPTH_MAX, .models_allowed = models, .metadata_members = read};
    struct job job;
    struct error err = {0};
    enum status status = job_decode(&record, &limits, &job, &err);
    if (job.id == NULL || (status != STATUS_OK && (err.code[0] == '\0' || err.message[0] == '\0')))
        abort();
    if (status != STATUS_OK) {
        struct reply_timing timing = {0};
        AUTO_FREE char *reply = reply_encode_error(&job, &err, NULL, NULL, 1, &timing);
        must_be_json(reply);
    } else if (job.metadata != NULL) {
        AUTO_JSON json_t *metadata = json_loads(job.metadata, JSON_DECODE_ANY, NULL);
        if (metadata == NULL)
            abort();
    }
    size_t heard = 0;
    if (status == STATUS_OK)
        job_unknown_members(&record, hear, &heard);
    if (status == STATUS_OK && heard != job.unknown_count)
        abort();
    job_finish(&job);
    return 0;
}
